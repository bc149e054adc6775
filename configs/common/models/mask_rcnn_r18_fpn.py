"""A small Mask R-CNN for 128 px images that trains from scratch on a CPU in minutes.

Its box and mask heads start as Detectron2's; the last layer of the mask heads of ranking losses and
Seesaw starts as released.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, MaskRCNNConvUpsampleHead

from .mask_rcnn_fpn import model

_STRIDES = {"res2": 4, "res3": 8, "res4": 16}
_LEVELS = ["p2", "p3", "p4"]
_SCALES = [1 / stride for stride in _STRIDES.values()]
_FPN_CHANNELS = 64

model.backbone.bottom_up = L(ResNet)(
    stem=L(BasicStem)(in_channels=3, out_channels=32, norm="BN"),
    stages=[
        L(ResNet.make_stage)(
            block_class=BasicBlock,
            num_blocks=2,
            stride_per_block=[stride, 1],
            in_channels=in_channels,
            out_channels=out_channels,
            norm="BN",
        )
        for stride, in_channels, out_channels in [(1, 32, 32), (2, 32, 64), (2, 64, 128)]
    ],
    out_features=list(_STRIDES),
)
model.backbone.out_channels = _FPN_CHANNELS
model.backbone.top_block = None

rpn = model.proposal_generator
rpn.in_features = _LEVELS
rpn.head.update(in_channels=_FPN_CHANNELS, num_anchors=1)
rpn.anchor_generator.update(
    sizes=[[16], [28], [48]], aspect_ratios=[1.0], strides=list(_STRIDES.values())
)
rpn.batch_size_per_image = 64
rpn.update(pre_nms_topk=(300, 200), post_nms_topk=(100, 60))

roi_heads = model.roi_heads
roi_heads.num_classes = 36
roi_heads.batch_size_per_image = 32
roi_heads.update(box_in_features=_LEVELS, mask_in_features=_LEVELS)
roi_heads.box_pooler.update(output_size=5, scales=_SCALES, sampling_ratio=1)
roi_heads.box_head.update(
    _target_=FastRCNNConvFCHead,
    conv_dims=[],
    input_shape=ShapeSpec(channels=_FPN_CHANNELS, height=5, width=5),
    fc_dims=[256, 256],
)
roi_heads.box_predictor.input_shape = ShapeSpec(channels=256)
roi_heads.box_predictor.cls_agnostic_bbox_reg = True
roi_heads.mask_pooler.update(output_size=14, scales=_SCALES, sampling_ratio=1)
roi_heads.mask_head.update(
    _target_=MaskRCNNConvUpsampleHead,
    input_shape=ShapeSpec(channels=_FPN_CHANNELS, width=14, height=14),
    conv_dims=[32, 32, 32],
)
model.update(input_format="RGB")
