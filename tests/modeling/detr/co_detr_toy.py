"""A Co-DETR of a few thousand weights, on images of two sizes."""

import torch
from modeling.detr.collaborative_toy import SIZES, make_atss, make_gt, make_rcnn
from support.tiny_detr import detr_parts
from support.tiny_two_stage import NUM_CLASSES

from rankdet.losses import FocalLoss
from rankdet.modeling.detr import CoDETR, CollaborativeHeads, DeformableDETR, QueryLoss

CLASSES = [[0, 2, 1], [1]]


def make_heads(make_loss=FocalLoss):
    """ATSS and Faster R-CNN; ``make_loss`` takes a number of classes."""
    quality = {} if make_loss is FocalLoss else {"quality": None}
    return CollaborativeHeads(
        atss=make_atss(make_loss(NUM_CLASSES), **quality),
        rcnn=make_rcnn(make_loss(NUM_CLASSES), make_loss(1)),
    )


def make_plain():
    """The same model without collaborative heads."""
    return _lively(DeformableDETR(**detr_parts()))


def make_co_detr(make_loss=FocalLoss, **options):
    """Any part may be another; what :func:`make_plain` has, too, has the same weights."""
    query_losses = [QueryLoss(make_loss(number)) for number in (NUM_CLASSES, 1)]
    parts = detr_parts(query_losses[0], selection_loss=query_losses[1])
    defaults = dict(heads=make_heads(make_loss), num_groups=4, max_queries=20)
    return _lively(CoDETR(**{**parts, **defaults, **options}))


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
