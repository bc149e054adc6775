"""What ranking losses change in transformer detectors: one line in a config.

As in :mod:`rankdet.model_zoo.recipes`, of which these make use::

    use_detr_ranking(model, bucketed_rank_sort)
"""

from copy import deepcopy

from omegaconf import DictConfig

from rankdet.losses import APLoss, RankSortLoss
from rankdet.model_zoo.recipes import for_classes, target_name, use_ranking
from rankdet.modeling.dense.dense_head import ScaledHead


def use_detr_ranking(
    model: DictConfig, loss: DictConfig, rpn_loss: DictConfig | None = None
) -> None:
    """Train a Deformable DETR, or a Co-DETR with all its heads, by a ranking loss.

    A layer of the decoder, the encoder's tokens, the queries of a collaborative head in a layer,
    and the head each have a ranking of their own, over all images of a process. Class and GIoU
    losses of queries have weight 2. L1 has 5, with RS and BRS 2: they balance boxes by themselves,
    so that all three have the same value. A match costs 4 times the focal cost. Collaborative heads
    have weight 5, an RPN among them 1. An RPN and RoI heads take all anchors and proposals, see
    :func:`rankdet.model_zoo.recipes.use_ranking`; a one-stage head has no third output. Box losses
    are plain means where the loss has a choice.

    Source: BRS-DETR as released. Its paper does not double the loss; its RPN decodes boxes by other
    numbers than it encodes them, and its RoI heads have no ground truth among the proposals.

    Args:
        model: lazy config of the model.
        loss: lazy config of the loss of classes.
        rpn_loss: that of an RPN, which gets one class. None: the same loss.

    Raises:
        ValueError: the model is no transformer detector.
    """
    if "query_selection" not in model:
        raise ValueError(
            f"use_detr_ranking takes a transformer detector with query_selection, not "
            f"{target_name(model)}; use_ranking or use_dense_ranking take others."
        )
    loss = _with_plain_means(loss)
    l1_weight = 2.0 if target_name(loss) == RankSortLoss.__name__ else 5.0
    model.matcher.class_weight = 4.0
    for part, num_classes in (("selection_loss", 1), ("loss", "${...num_classes}")):
        of_part = for_classes(loss, num_classes)
        model[part].update(loss=of_part, class_weight=2.0, l1_weight=l1_weight, giou_weight=2.0)
    for name, head in model.get("heads", {}).items():
        if name != "_target_":
            _rank_head(head, loss, rpn_loss and _with_plain_means(rpn_loss))


def _rank_head(head: DictConfig, loss: DictConfig, rpn_loss: DictConfig | None) -> None:
    head.loss_weight = 5.0
    if "detector" in head:
        head.detector.update(loss=for_classes(loss, "${..num_classes}"), quality=None)
        head.detector.head.update(_target_=ScaledHead, num_anchors=1)
    else:
        padding_divisor = head.proposal_generator.get("padding_divisor")
        use_ranking(head, for_classes(loss, "${..num_classes}"), rpn_loss)
        head.proposal_generator.padding_divisor = padding_divisor


def _with_plain_means(loss: DictConfig) -> DictConfig:
    """The config of the same loss, whose boxes all count alike if it can weight them by scores."""
    copied = deepcopy(loss)
    if target_name(copied) in (APLoss.__name__, RankSortLoss.__name__):
        copied.score_weighted_boxes = False
    return copied
