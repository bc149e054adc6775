"""Losses of one-stage detectors; class numbers and counts come from the experiment.

What the ranking losses change besides: GIoU as the loss of boxes, and no output of the head that
foretells the quality of a box.
"""

from detectron2.config import LazyCall as L

from rankdet.data.class_stats import instance_counts
from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.ap import APLoss
from rankdet.losses.dense_ecm import FocalECMLoss, VarifocalECMLoss
from rankdet.losses.focal import FocalLoss, QualityFocalLoss, VarifocalLoss
from rankdet.losses.rank_sort import RankSortLoss
from rankdet.modeling.dense.box_losses import GIoUBoxLoss

_CLASSES = "${model.num_classes}"
_COUNTS = L(instance_counts)(dataset_names="${dataloader.train.dataset.names}")

focal = L(FocalLoss)(num_classes=_CLASSES)
varifocal = L(VarifocalLoss)(num_classes=_CLASSES)
quality_focal = L(QualityFocalLoss)(num_classes=_CLASSES)
focal_ecm = L(FocalECMLoss)(class_counts=_COUNTS)
varifocal_ecm = L(VarifocalECMLoss)(class_counts=_COUNTS)
ap = L(APLoss)(num_classes=_CLASSES)
bucketed_ap = L(APLoss)(num_classes=_CLASSES, algorithm="bucketed")
alrp = L(ALRPLoss)(num_classes=_CLASSES)
rank_sort = L(RankSortLoss)(num_classes=_CLASSES)
bucketed_rank_sort = L(RankSortLoss)(num_classes=_CLASSES, algorithm="bucketed")

giou = L(GIoUBoxLoss)(box2box_transform="${model.box2box_transform}")
