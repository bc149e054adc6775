"""Losses by name, for any head; class numbers come from the model, class counts from the data.

``model.loss.surrogate = ecm_surrogate`` makes a focal loss ECM. aLRP has its own loss for an RPN,
whose foreground starts at an IoU of 0.7.
"""

from detectron2.config import LazyCall as L

from rankdet.data.class_stats import image_counts, instance_counts
from rankdet.losses import (
    ALRPLoss,
    APLoss,
    ECMLoss,
    ECMSurrogate,
    EQLv2Loss,
    FederatedLoss,
    FocalLoss,
    NDCGLoss,
    QualityFocalLoss,
    RankSortLoss,
    SeesawLoss,
    SigmoidBCELoss,
    SoftmaxCrossEntropyLoss,
    VarifocalLoss,
)
from rankdet.modeling.box_losses import GIoUBoxLoss

_CLASSES = "${..num_classes}"
_INSTANCES = L(instance_counts)(dataset_names="${dataloader.train.dataset.names}")
_IMAGES = L(image_counts)(dataset_names="${dataloader.train.dataset.names}")

softmax = L(SoftmaxCrossEntropyLoss)(num_classes=_CLASSES)
sigmoid = L(SigmoidBCELoss)(num_classes=_CLASSES)
eqlv2 = L(EQLv2Loss)(num_classes=_CLASSES)
seesaw = L(SeesawLoss)(num_classes=_CLASSES)
federated = L(FederatedLoss)(image_counts=_IMAGES)
ecm = L(ECMLoss)(class_counts=_INSTANCES)

focal = L(FocalLoss)(num_classes=_CLASSES)
varifocal = L(VarifocalLoss)(num_classes=_CLASSES)
quality_focal = L(QualityFocalLoss)(num_classes=_CLASSES)
ecm_surrogate = L(ECMSurrogate)(class_counts=_INSTANCES)

ap = L(APLoss)(num_classes=_CLASSES)
bucketed_ap = L(APLoss)(num_classes=_CLASSES, algorithm="bucketed")
rank_sort = L(RankSortLoss)(num_classes=_CLASSES)
bucketed_rank_sort = L(RankSortLoss)(num_classes=_CLASSES, algorithm="bucketed")
ndcg = L(NDCGLoss)(num_classes=_CLASSES)
alrp = L(ALRPLoss)(num_classes=_CLASSES)
alrp_rpn = L(ALRPLoss)(num_classes=1, iou_threshold=0.7)

giou = L(GIoUBoxLoss)()
