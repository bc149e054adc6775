"""A small FCOS for 128 px images that trains from scratch on a CPU in minutes."""

from detectron2.config import LazyCall as L
from detectron2.modeling.box_regression import Box2BoxTransformLinear
from detectron2.modeling.meta_arch.fcos import FCOSHead

from rankdet.modeling.dense.assignment import CenterAssigner
from rankdet.modeling.dense.quality import Centerness

from ..losses import giou
from .retinanet_r18_fpn import model

model.head._target_ = FCOSHead
model.head.pop("num_anchors")
# One square of the stride's size per location: boxes are distances from it in strides.
model.anchor_generator.sizes = [[stride] for stride in model.anchor_generator.strides]
model.anchor_generator.offset = 0.5
model.box2box_transform = L(Box2BoxTransformLinear)(normalize_by_size=True)
model.assigner = L(CenterAssigner)(num_classes="${..num_classes}")
model.box_loss = giou
model.quality = L(Centerness)()
model.test_nms_thresh = 0.6
