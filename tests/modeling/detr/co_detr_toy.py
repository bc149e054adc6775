"""A Co-DETR of a few thousand weights, on images of two sizes."""

import torch
from modeling.detr.collaborative_toy import SIZES, make_atss, make_gt, make_rcnn
from support.tiny_one_stage import PIXELS, TwoLevels
from support.tiny_two_stage import CHANNELS, NUM_CLASSES

from rankdet.losses import FocalLoss, RankSortLoss
from rankdet.modeling.detr.co_detr import CoDETR
from rankdet.modeling.detr.decoder import Decoder
from rankdet.modeling.detr.detector import DeformableDETR
from rankdet.modeling.detr.encoder import Encoder
from rankdet.modeling.detr.matching import HungarianMatcher
from rankdet.modeling.detr.neck import ChannelMapper
from rankdet.modeling.detr.positions import SinePositionEncoding
from rankdet.modeling.detr.query_loss import QueryLoss
from rankdet.modeling.detr.query_selection import QuerySelection

NUM_LAYERS = 2
CLASSES = [[0, 2, 1], [1]]


def parts(make_loss):
    """Those of Deformable DETR; ``make_loss`` takes a number of classes."""
    shape = dict(num_channels=CHANNELS, num_heads=2, num_levels=4, num_points=2)
    layers = dict(**shape, hidden_channels=16)
    loss = make_loss(NUM_CLASSES)
    return dict(
        backbone=TwoLevels(),
        neck=ChannelMapper(
            in_features=["p3", "p4"],
            in_channels=[CHANNELS] * 2,
            num_channels=CHANNELS,
            num_levels=4,
            num_groups=2,
        ),
        encoder=Encoder(positions=SinePositionEncoding(CHANNELS), num_layers=1, **layers),
        query_selection=QuerySelection(num_channels=CHANNELS, num_queries=12),
        decoder=Decoder(num_logits=loss.num_logits, num_layers=NUM_LAYERS, **layers),
        matcher=HungarianMatcher(),
        selection_loss=QueryLoss(make_loss(1)),
        loss=QueryLoss(loss),
        num_classes=NUM_CLASSES,
        **PIXELS,
    )


def make_heads(make_loss):
    """ATSS and Faster R-CNN."""
    quality = {"quality": None} if make_loss is RankSortLoss else {}
    return {
        "atss": make_atss(make_loss(NUM_CLASSES), **quality),
        "rcnn": make_rcnn(make_loss(NUM_CLASSES), make_loss(1)),
    }


def make_detr():
    """The same model without collaborative heads."""
    torch.manual_seed(0)
    return _lively(DeformableDETR(**parts(FocalLoss)))


def make_co_detr(make_loss=FocalLoss, **options):
    """Any part may be another; the weights that it shares with :func:`make_detr` are the same."""
    torch.manual_seed(0)
    own = parts(make_loss)
    defaults = dict(heads=make_heads(make_loss), num_channels=CHANNELS, num_groups=2)
    model = CoDETR(**{**own, **defaults, "max_queries": 20, **options})
    return _lively(model)


def _lively(model):
    """Box heads that move boxes, and offsets that depend on the query."""
    torch.manual_seed(1)
    for name, weight in sorted(model.named_parameters()):
        if ("box_head" in name or "sampling_offsets" in name) and not name.startswith("heads"):
            weight.data += 0.1 * torch.randn(weight.shape)
    return model


def make_inputs(classes=CLASSES):
    """Images of two sizes with objects of these classes."""
    generator = torch.Generator().manual_seed(5)
    return [
        {
            "image": torch.rand(3, *SIZES[image], generator=generator),
            "instances": make_gt(labels, image),
        }
        for image, labels in enumerate(classes)
    ]
