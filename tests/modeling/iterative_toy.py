"""RoI heads of a few hundred weights that iterate, and batches for them."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from rankdet.losses import EQLv2Loss, PCBLoss, SeesawLoss, SoftmaxCrossEntropyLoss
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.modeling.iterative_head import IterativeROIHeads, PredictionAttention

NUM_CLASSES, CHANNELS, IMAGE_SIZE, HIDDEN = 3, 4, 64, 8
BASES = [SoftmaxCrossEntropyLoss, EQLv2Loss, SeesawLoss]


def make_pcb(base=SoftmaxCrossEntropyLoss):
    return PCBLoss(base(NUM_CLASSES), start_epoch=0)


def pooled_shape(size=(3, 3)):
    return ShapeSpec(channels=CHANNELS, height=size[0], width=size[1])


def standard_parts(loss, *, size=(3, 3), agnostic=False, loss_weight=1.0):
    """What Detectron2's heads take, too."""
    box_head = FastRCNNConvFCHead(pooled_shape(size), conv_dims=[], fc_dims=[16])
    predictor = BoxPredictor(
        ShapeSpec(channels=16),
        loss=loss,
        num_classes=NUM_CLASSES,
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
        cls_agnostic_bbox_reg=agnostic,
        loss_weight=loss_weight,
    )
    torch.nn.init.normal_(predictor.bbox_pred.weight, std=0.1)
    torch.nn.init.normal_(predictor.cls_score.weight, std=0.3)
    return {
        "num_classes": NUM_CLASSES,
        "batch_size_per_image": 8,
        "positive_fraction": 0.5,
        "proposal_matcher": Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        "box_in_features": ["p3"],
        "box_pooler": ROIPooler(size, scales=[1 / 8], sampling_ratio=1, pooler_type="ROIAlignV2"),
        "box_head": box_head,
        "box_predictor": predictor,
    }


def attention_with(**options):
    """A refinement of small hidden layers that does something from the start."""
    options = {"starts_as_identity": False, **options}
    return PredictionAttention.with_options(hidden_features=HIDDEN, **options)


def make_heads(loss, *, size=(3, 3), options=None, **parts):
    """Iterative heads; ``options`` are their own, ``parts`` those of :func:`standard_parts`."""
    torch.manual_seed(0)
    options = {"refinement": attention_with(), **(options or {})}
    return IterativeROIHeads(
        **standard_parts(loss, size=size, **parts), pooled_shape=pooled_shape(size), **options
    )


def make_batch(classes=((0, 2, 1), (1,))):
    """Features, proposals beside the ground truth, and the ground truth, of an image per list."""
    generator = torch.Generator().manual_seed(5)
    corners = torch.tensor([[2.0, 2, 24, 24], [30, 4, 60, 30], [8, 34, 40, 62]])
    proposals, targets = [], []
    for image in classes:
        gt_classes = torch.tensor(image, dtype=torch.int64)
        boxes = Boxes(corners[: len(image)])
        targets.append(Instances((IMAGE_SIZE, IMAGE_SIZE), gt_boxes=boxes, gt_classes=gt_classes))
        beside = Boxes(torch.cat([corners + 1, corners.roll(1, dims=1).sort(dim=1).values]))
        proposals.append(
            Instances(
                (IMAGE_SIZE, IMAGE_SIZE), proposal_boxes=beside, objectness_logits=torch.zeros(6)
            )
        )
    shape = (len(classes), CHANNELS, IMAGE_SIZE // 8, IMAGE_SIZE // 8)
    return {"p3": torch.randn(shape, generator=generator)}, proposals, targets


def run(roi_heads, *classes):
    """Losses of the heads in training, or detections at test; Detectron2 samples at random."""
    torch.manual_seed(1)
    with EventStorage():
        detections, losses = roi_heads(None, *make_batch(*classes))
    return losses if roi_heads.training else detections


def recorded_steps(roi_heads):
    """List that fills with the predictions of all steps."""
    steps, predictor = [], roi_heads.box_predictor
    predictor.register_forward_hook(lambda module, args, output: steps.append(output))
    return steps
