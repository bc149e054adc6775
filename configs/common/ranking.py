"""What ranking losses change in a two-stage detector: ``use_ranking(model, rank_sort)``.

RPN and RoI heads each have a ranking of their own, over all anchors and all proposals: none are
sampled. Box deltas are in units of a tenth and a fifth of the anchor or proposal everywhere, in
the RPN and in all stages of a cascade. Biases start at 0, as in the RS release; the prior of 0.01
that aLRP gives the RPN would change nothing, as neither its loss nor the choice of proposals heeds
a constant that is added to all logits.

Unlike in the releases, an anchor that is the best one of an object need not have an IoU of 0.3
with it to be positive, and the ResNet is Detectron2's: weights of MSRA, fixed affine parameters of
its norms.
"""

from detectron2.config import LazyCall as L
from detectron2.modeling.box_regression import Box2BoxTransform

from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.ap import APLoss
from rankdet.losses.ndcg import NDCGLoss
from rankdet.losses.rank_sort import RankSortLoss
from rankdet.modeling.dice_mask_head import DiceMaskHead
from rankdet.modeling.ranking_box_predictor import RankingBoxPredictor
from rankdet.modeling.ranking_roi_heads import RankingCascadeROIHeads, RankingROIHeads
from rankdet.modeling.ranking_rpn import RankingRPN

_BOX_TRANSFORM = L(Box2BoxTransform)(weights=(10, 10, 5, 5))
_CLASSES = "${model.roi_heads.num_classes}"


def _pair(loss, **options):
    """The same loss for the RPN, whose one class is "object", and for the boxes."""
    return dict(rpn=L(loss)(num_classes=1, **options), box=L(loss)(num_classes=_CLASSES, **options))


ap = _pair(APLoss)
bucketed_ap = _pair(APLoss, algorithm="bucketed")
rank_sort = _pair(RankSortLoss)
bucketed_rank_sort = _pair(RankSortLoss, algorithm="bucketed")
ndcg = _pair(NDCGLoss)
alrp = dict(
    rpn=L(ALRPLoss)(num_classes=1, iou_threshold=0.7),
    box=L(ALRPLoss)(num_classes=_CLASSES),
)


def use_ranking(model, losses):
    """Give a Faster, Mask or Cascade R-CNN, in place, the parts that train with ``losses``."""
    rpn, roi_heads = model.proposal_generator, model.roi_heads
    for sampling in ("batch_size_per_image", "positive_fraction"):
        rpn.pop(sampling, None)
    rpn.update(
        _target_=RankingRPN, box2box_transform=_BOX_TRANSFORM, loss=losses.rpn, loss_weight=0.2
    )
    stages = roi_heads.get("box_predictors")
    roi_heads._target_ = RankingCascadeROIHeads if stages else RankingROIHeads
    for predictor in stages or [roi_heads.box_predictor]:
        predictor.update(
            _target_=RankingBoxPredictor, box2box_transform=_BOX_TRANSFORM, loss=losses.box
        )
    if "mask_head" in roi_heads:
        roi_heads.mask_head.update(_target_=DiceMaskHead, max_positives=200)
