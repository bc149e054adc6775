"""Co-DETR R50: Deformable DETR with ATSS and Faster R-CNN on the encoder's maps, as released.

Both heads are those of mmdetection on five maps of strides 8 to 128, ATSS with one convolution per
branch; anchors over the padding of a batch are ignored. Each loss of theirs counts 12 times: for
the six layers of the decoder, times 2.
"""

from detectron2.config import LazyCall as L

from rankdet.modeling.box_losses import GIoUBoxLoss
from rankdet.modeling.detr import CoDETR, CollaborativeATSS, CollaborativeHeads, CollaborativeRCNN

from .atss_r50_fpn import model as atss
from .deformable_detr_r50 import model
from .faster_rcnn_fpn import model as faster_rcnn

_STRIDES = [8, 16, 32, 64, 128]
_NAMES = ["p3", "p4", "p5", "p6", "p7"]

_rpn, _roi_heads = faster_rcnn.proposal_generator, faster_rcnn.roi_heads
_rpn.in_features = _NAMES
_rpn.head.num_anchors = 9
_rpn.anchor_generator.update(
    sizes=[[4 * stride * 2 ** (octave / 3) for octave in range(3)] for stride in _STRIDES],
    strides=_STRIDES,
    offset=0.0,
)
_rpn.update(pre_nms_topk=(4000, 1000), post_nms_topk=(1000, 1000), padding_divisor=1)
_roi_heads.update(num_classes="${....num_classes}", box_in_features=_NAMES[:4])
_roi_heads.box_pooler.scales = [1 / stride for stride in _STRIDES[:4]]
_roi_heads.box_predictor.update(
    box_loss=L(GIoUBoxLoss)(weight=10.0),
    test_score_thresh=0.0,
    test_topk_per_image="${.....max_detections_per_image}",
)
atss.head.conv_dims = [256]
atss.update(
    backbone=None,
    num_classes="${....num_classes}",
    max_detections_per_image="${....max_detections_per_image}",
    test_score_thresh=0.0,
    padding_divisor=1,
)

model.update(
    _target_=CoDETR,
    heads=L(CollaborativeHeads)(
        rcnn=L(CollaborativeRCNN)(proposal_generator=_rpn, roi_heads=_roi_heads, loss_weight=12.0),
        atss=L(CollaborativeATSS)(detector=atss, loss_weight=12.0),
    ),
    min_queries=9,
    max_queries=300,
)
