"""Classification losses; class numbers and counts come from the experiment's model and data."""

from detectron2.config import LazyCall as L

from rankdet.data.class_stats import image_counts, instance_counts
from rankdet.losses.ecm import ECMLoss
from rankdet.losses.eql import EQLv2Loss
from rankdet.losses.federated import FederatedLoss
from rankdet.losses.seesaw import SeesawLoss
from rankdet.losses.sigmoid import SigmoidBCELoss
from rankdet.losses.softmax import SoftmaxCrossEntropyLoss

softmax = L(SoftmaxCrossEntropyLoss)(num_classes="${model.roi_heads.num_classes}")
sigmoid = L(SigmoidBCELoss)(num_classes="${model.roi_heads.num_classes}")
eqlv2 = L(EQLv2Loss)(num_classes="${model.roi_heads.num_classes}")
seesaw = L(SeesawLoss)(num_classes="${model.roi_heads.num_classes}")
federated = L(FederatedLoss)(
    image_counts=L(image_counts)(dataset_names="${dataloader.train.dataset.names}")
)
ecm = L(ECMLoss)(class_counts=L(instance_counts)(dataset_names="${dataloader.train.dataset.names}"))
