"""Losses of one-stage detectors; class numbers and counts come from the experiment.

``model.loss.surrogate = ecm`` makes a focal loss ECM. What the ranking losses change besides: GIoU
as the loss of boxes, and no output of the head that foretells the quality of a box.
"""

from detectron2.config import LazyCall as L

from rankdet.data.class_stats import instance_counts
from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.ap import APLoss
from rankdet.losses.dense_ecm import ECMSurrogate
from rankdet.losses.focal import FocalLoss, QualityFocalLoss, VarifocalLoss
from rankdet.losses.rank_sort import RankSortLoss
from rankdet.modeling.dense.box_losses import GIoUBoxLoss

_CLASSES = "${model.num_classes}"

focal = L(FocalLoss)(num_classes=_CLASSES)
varifocal = L(VarifocalLoss)(num_classes=_CLASSES)
quality_focal = L(QualityFocalLoss)(num_classes=_CLASSES)
ap = L(APLoss)(num_classes=_CLASSES)
bucketed_ap = L(APLoss)(num_classes=_CLASSES, algorithm="bucketed")
alrp = L(ALRPLoss)(num_classes=_CLASSES)
rank_sort = L(RankSortLoss)(num_classes=_CLASSES)
bucketed_rank_sort = L(RankSortLoss)(num_classes=_CLASSES, algorithm="bucketed")

ecm = L(ECMSurrogate)(
    class_counts=L(instance_counts)(dataset_names="${dataloader.train.dataset.names}")
)
focal_ecm = L(FocalLoss)(num_classes=_CLASSES, surrogate=ecm)
varifocal_ecm = L(VarifocalLoss)(num_classes=_CLASSES, surrogate=ecm)

giou = L(GIoUBoxLoss)(box2box_transform="${model.box2box_transform}")
