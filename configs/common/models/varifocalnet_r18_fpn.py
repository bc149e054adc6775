"""A small VarifocalNet for 128 px images that trains from scratch on a CPU in minutes."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from rankdet.modeling.dense.atss import ATSSAssigner
from rankdet.modeling.dense.varifocal_head import VarifocalHead
from rankdet.modeling.dense.varifocal_net import VarifocalNet

from ..losses import varifocal
from .retinanet_r18_fpn import model

_STRIDES = model.anchor_generator.strides
model._target_ = VarifocalNet
model.head = L(VarifocalHead)(
    input_shape=[ShapeSpec(channels=64, stride=stride) for stride in _STRIDES],
    num_classes="${..num_classes}",
    conv_dims=[64, 64],
    norm="GN",
    conv_bias=True,
    first_distance=2.0,  # The first boxes start from about the size of the anchors.
)
model.anchor_generator.offset = 0.5  # Locations are the centers of the cells, as in ATSS.
model.assigner = L(ATSSAssigner)(num_classes="${..num_classes}")
model.loss = varifocal
model.loss.box_weight = 2.0
model.test_nms_thresh = 0.6
for fixed in ("box2box_transform", "box_loss"):
    model.pop(fixed)
