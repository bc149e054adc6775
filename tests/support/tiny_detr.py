"""A transformer detector of a few thousand weights on two levels, and parts of it."""

import torch
from support.tiny_one_stage import PIXELS, TwoLevels
from support.tiny_two_stage import CHANNELS, NUM_CLASSES

from rankdet.losses import FocalLoss, RankSortLoss
from rankdet.modeling.detr import (
    ChannelMapper,
    Decoder,
    DeformableDETR,
    Encoder,
    HungarianMatcher,
    QueryLoss,
    QuerySelection,
    SinePositionEncoding,
)

WIDTH, NUM_QUERIES = 16, 10
_LAYERS = dict(num_channels=WIDTH, num_heads=2, num_levels=3, num_points=2, hidden_channels=32)


def rank_sort_parts(num_classes=NUM_CLASSES, algorithm="exact"):
    """What RS changes in a detector."""

    def query_loss(num_classes):
        loss = RankSortLoss(num_classes, algorithm=algorithm, score_weighted_boxes=False)
        return QueryLoss(loss, class_weight=2.0, l1_weight=2.0, giou_weight=2.0)

    return dict(
        loss=query_loss(num_classes),
        selection_loss=query_loss(1),
        matcher=HungarianMatcher(class_weight=4.0),
    )


def make_detr(loss=None, **parts):
    """With focal loss, or another; any part may be another."""
    return DeformableDETR(**detr_parts(loss, **parts))


def detr_parts(loss=None, **parts):
    """All arguments of a detector; the seed of its weights is 0."""
    torch.manual_seed(0)
    loss = loss or parts.pop("loss", None) or QueryLoss(FocalLoss(NUM_CLASSES))
    defaults = dict(
        backbone=TwoLevels(),
        neck=ChannelMapper(
            in_features=["p3", "p4"],
            in_channels=[CHANNELS] * 2,
            num_channels=WIDTH,
            num_levels=3,
            num_groups=4,
        ),
        encoder=Encoder(positions=SinePositionEncoding(WIDTH), num_layers=1, **_LAYERS),
        query_selection=QuerySelection(
            num_channels=WIDTH, num_queries=NUM_QUERIES, smallest_size=0.2
        ),
        decoder=Decoder(num_logits=loss.loss.num_logits, num_layers=2, **_LAYERS),
        matcher=HungarianMatcher(),
        selection_loss=QueryLoss(FocalLoss(1)),
        loss=loss,
        num_classes=loss.loss.num_classes,
        **PIXELS,
    )
    return {**defaults, **parts}
