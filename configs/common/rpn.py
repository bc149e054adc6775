"""The RPN of mmdetection's detectors, in which the published numbers were made.

Use as ``proposal_generator.update(**rpn)``. An object's best anchors are positive if their IoU is
at least 0.3, anchors over padding are ignored, and losses are means over the sampled anchors.
"""

from detectron2.config import LazyCall as L

from rankdet.losses import SigmoidBCELoss
from rankdet.modeling.matching import BestAnchorMatcher
from rankdet.modeling.rpn import LossRPN

rpn = dict(
    _target_=LossRPN,
    anchor_matcher=L(BestAnchorMatcher)(thresholds=[0.3, 0.7], labels=[0, -1, 1], min_iou=0.3),
    loss=L(SigmoidBCELoss)(num_classes=1),
    padding_divisor=32,
)
