"""Heads with weights from a formula, and boxes on an image: what golden two-stage detectors see.

No random numbers: those of torch may change with its version.
"""

import math

import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import BitMasks, Boxes, Instances
from support.tiny_two_stage import (
    CHANNELS,
    NUM_CLASSES,
    SIZE,
    STRIDE,
    make_cascade_heads,
    make_heads,
    make_mask_head,
    make_predictor,
)

from rankdet.losses import ECMLoss, RankSortLoss, SoftmaxCrossEntropyLoss
from rankdet.modeling.box_losses import L1BoxLoss, SmoothL1BoxLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.iterative_head import IterativeROIHeads, PredictionAttention
from rankdet.modeling.mask_head import DiceMaskHead, MaskHead

GT_BOXES = [[4.0, 6, 28, 30], [10, 8, 31, 34], [30, 2, 46, 18], [20, 24, 24, 28]]
GT_CLASSES = [0, 2, 1, 0]
PROPOSALS = [
    *([5.0, 5, 29, 28], [9, 9, 33, 36], [2, 2, 24, 30], [12, 10, 30, 30], [29, 1, 47, 20]),
    *([31, 4, 44, 17], [26, 0, 44, 22], [0, 0, 12, 12], [20, 24, 24, 29], [19, 23, 26, 30]),
    *([33, 33, 47, 47], [6, 6, 30, 33], [0, 30, 20, 47], [14, 6, 34, 30], [4, 4, 46, 46]),
]
STAGE_WEIGHTS = [(10.0, 5.0, 1.0), (20.0, 10.0, 0.5), (1 / 0.033, 1 / 0.067, 0.25)]
LOSSES = {
    "softmax": lambda: SoftmaxCrossEntropyLoss(NUM_CLASSES),
    "ecm": lambda: ECMLoss([900, 30, 1], background_ratio=6.3313),
    "rank_sort": lambda: RankSortLoss(NUM_CLASSES),
}


def numbers(*shape, scale=1.0, seed=0):
    """Numbers in [-scale / 2, scale / 2] without an order that one sees."""
    count = math.prod(shape)
    values = [(31 * i * i + 7 * i + 1009 * seed) % 10007 / 10007 - 0.5 for i in range(count)]
    return scale * torch.tensor(values, dtype=torch.float32).reshape(shape)


def fill(module, scale=0.6):
    """Give all weights of a module numbers of their own."""
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.copy_(numbers(*parameter.shape, scale=scale, seed=seed))
    return module


def features(num_images=1):
    return {"p3": numbers(num_images, CHANNELS, SIZE // STRIDE, SIZE // STRIDE, scale=4.0)}


def target():
    masks = torch.zeros(len(GT_BOXES), SIZE, SIZE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, GT_BOXES, strict=True):
        mask[int(y1) : int(y1 + y2) // 2, int(x1) : int(x2)] = True
    return Instances(
        (SIZE, SIZE),
        gt_boxes=Boxes(torch.tensor(GT_BOXES)),
        gt_classes=torch.tensor(GT_CLASSES),
        gt_masks=BitMasks(masks),
    )


def proposals():
    boxes = torch.tensor(PROPOSALS)
    return Instances(
        (SIZE, SIZE), proposal_boxes=Boxes(boxes), objectness_logits=torch.zeros(len(boxes))
    )


def roi_heads():
    """One stage on all proposals, with L1 as the loss of boxes."""
    predictor = make_predictor(LOSSES["softmax"](), box_loss=L1BoxLoss())
    heads = make_heads(
        SoftmaxCrossEntropyLoss, box_predictor=predictor, mask_head=make_mask_head(MaskHead)
    )
    return fill(heads)


def box_predictor(loss):
    """A predictor on 16 features."""
    return fill(make_predictor(LOSSES[loss](), box_loss=SmoothL1BoxLoss(0.3)), scale=1.0)


def mask_head(kind):
    return fill(make_mask_head({"cross_entropy": MaskHead, "dice": DiceMaskHead}[kind]))


def cascade():
    """Three stages of softmax, smooth L1 and cross-entropy of masks on all proposals."""
    stages = [
        make_predictor(
            LOSSES["softmax"](),
            box_loss=SmoothL1BoxLoss(0.3),
            cls_agnostic_bbox_reg=True,
            loss_weight=weight,
            test_score_thresh=0.3,
            test_topk_per_image=6,
        )
        for _, _, weight in STAGE_WEIGHTS
    ]
    for stage, (xy, wh, _) in zip(stages, STAGE_WEIGHTS, strict=True):
        stage.box2box_transform.weights = (xy, xy, wh, wh)
    masks = [make_mask_head(MaskHead, loss_weight=weight) for *_, weight in STAGE_WEIGHTS]
    heads = make_cascade_heads(
        SoftmaxCrossEntropyLoss, num_stages=3, box_predictors=stages, mask_heads=masks
    )
    return fill(heads)


def recurrent():
    """PCB's head of three steps, with softmax, on all proposals."""
    parts = roi_heads()
    predictor = BoxPredictor(
        ShapeSpec(channels=16),
        loss=LOSSES["softmax"](),
        num_classes=NUM_CLASSES,
        box2box_transform=parts.box_predictor.box2box_transform,
    )
    heads = IterativeROIHeads(
        num_classes=NUM_CLASSES,
        batch_size_per_image=100,
        positive_fraction=1.0,
        box_in_features=["p3"],
        box_pooler=parts.box_pooler,
        box_head=parts.box_head,
        box_predictor=predictor,
        proposal_matcher=parts.proposal_matcher,
        pooled_shape=ShapeSpec(channels=CHANNELS, height=3, width=3),
        refinement=PredictionAttention.with_options(hidden_features=8),
    )
    return fill(heads)
