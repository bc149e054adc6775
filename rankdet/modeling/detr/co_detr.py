"""Co-DETR: a transformer detector that one-to-many heads help to train.

Letters: B images, D channels, G layers, C classes.
"""

from copy import deepcopy
from typing import Any

from detectron2.modeling import Backbone
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from rankdet.modeling.detr.auxiliary_queries import AuxiliaryPositives, AuxiliaryQueries
from rankdet.modeling.detr.collaborative_heads import CollaborativeHeads
from rankdet.modeling.detr.decoder import Decoder
from rankdet.modeling.detr.detector import DeformableDETR
from rankdet.modeling.detr.encoder import Encoder
from rankdet.modeling.detr.maps import Memory
from rankdet.modeling.detr.matching import HungarianMatcher
from rankdet.modeling.detr.neck import ChannelMapper, downsampler
from rankdet.modeling.detr.query_loss import QueryLoss, QueryTargets
from rankdet.modeling.detr.query_selection import QuerySelection


class CoDETR(DeformableDETR):
    """Deformable DETR with collaborative heads, whose positives are further queries in training.

    The heads see the encoder's maps and one of half the resolution of the last; encoder and
    backbone learn from them. The queries of each head go through the decoder by themselves, after
    the matched ones and without changing them. Their targets are known; their loss is a copy of
    ``loss`` for each head, as a loss observes one set of rows in an iteration.

    At test time neither heads nor their queries are computed, unless ``eval_head`` evaluates a head
    in the place of the decoder.

    Source: Zong et al., "DETRs with Collaborative Hybrid Assignments Training", ICCV 2023, section
    3 and the release, which has ATSS and Faster R-CNN; with ranking losses BRS-DETR
    (bucketed_ranking section 5), see :func:`rankdet.model_zoo.detr_recipes.use_detr_ranking`.

    Args:
        backbone: as in :class:`DeformableDETR`, like all that is not described here.
        neck: see there.
        encoder: see there.
        query_selection: see there.
        decoder: see there.
        matcher: see there.
        selection_loss: see there.
        loss: see there.
        heads: collaborative heads by name; none are Deformable DETR.
        num_groups: of the group norm of the further map.
        min_queries: smallest number of queries of a head, see :class:`AuxiliaryQueries`.
        max_queries: largest number, see there.
        eval_head: name of the head to evaluate. None: the decoder.
        num_classes: see there; the heads must have it, too.
        prior_prob: see there.
        max_detections_per_image: see there.
        test_score_thresh: see there.
        pixel_mean: see there.
        pixel_std: see there.

    Raises:
        ValueError: a head has another number of classes, there is no head of the name
            ``eval_head``, or see :class:`DeformableDETR`.
    """

    def __init__(  # noqa: PLR0913  (DeformableDETR's constructor plus the heads)
        self,
        *,
        backbone: Backbone,
        neck: ChannelMapper,
        encoder: Encoder,
        query_selection: QuerySelection,
        decoder: Decoder,
        matcher: HungarianMatcher,
        selection_loss: QueryLoss,
        loss: QueryLoss,
        heads: CollaborativeHeads,
        num_groups: int = 32,
        min_queries: int = 9,
        max_queries: int = 300,
        eval_head: str | None = None,
        num_classes: int,
        prior_prob: float = 0.01,
        max_detections_per_image: int = 100,
        test_score_thresh: float = 0.0,
        pixel_mean: list[float],
        pixel_std: list[float],
    ) -> None:
        _check_heads(heads, num_classes, eval_head)
        super().__init__(
            backbone=backbone,
            neck=neck,
            encoder=encoder,
            query_selection=query_selection,
            decoder=decoder,
            matcher=matcher,
            selection_loss=selection_loss,
            loss=loss,
            num_classes=num_classes,
            prior_prob=prior_prob,
            max_detections_per_image=max_detections_per_image,
            test_score_thresh=test_score_thresh,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
        )
        self.heads = heads
        num_channels = encoder.level_embedding.shape[1]
        self.further_map = downsampler(num_channels, num_channels, num_groups, bias=True)
        self.auxiliary_queries = nn.ModuleDict(
            {
                name: AuxiliaryQueries(
                    num_channels=num_channels,
                    num_classes=num_classes,
                    min_queries=min_queries,
                    max_queries=max_queries,
                )
                for name in heads
            }
        )
        self.auxiliary_query_losses = nn.ModuleDict({name: deepcopy(loss) for name in heads})
        self.eval_head = eval_head

    def auxiliary_losses(
        self, images: ImageList, memory: Memory, gt_instances: list[Instances]
    ) -> dict[str, Tensor]:
        """Losses of the heads and of the queries that they give.

        Args:
            images: B.
            memory: of these images.
            gt_instances: of these images.

        Returns:
            Scalars to sum: ``loss_<head>_...`` and ``loss_<head>_queries_...``.
        """
        maps = self._maps(memory)
        losses = {}
        for name, head in self.heads.items():
            of_head, positives = head(images, maps, gt_instances)
            of_queries = self._query_losses(name, positives, images, memory)
            losses.update(_renamed(of_head, name))
            losses.update(_renamed(of_queries, f"{name}_queries"))
        return losses

    def detect(self, images: ImageList, memory: Memory) -> list[Instances]:
        """See :meth:`DeformableDETR.detect`; detections of ``eval_head``, if there is one."""
        if self.eval_head is None:
            return super().detect(images, memory)
        head: Any = self.heads[self.eval_head]
        detections: list[Instances] = head.inference(images, self._maps(memory))
        return detections

    def _maps(self, memory: Memory) -> list[Tensor]:
        levels = memory.levels()
        return [*levels, self.further_map(levels[-1])]

    def _query_losses(
        self, name: str, positives: AuxiliaryPositives, images: ImageList, memory: Memory
    ) -> dict[str, Tensor]:
        """Losses of the queries of a head; their targets are the same in all layers."""
        queries, targets = self.auxiliary_queries[name](positives, images.image_sizes)
        predictions = self.decoder(queries, memory)
        shape = predictions.logits.shape[:3]
        targets = QueryTargets(targets.labels.expand(shape), targets.gt_boxes.expand(*shape, -1))
        losses: dict[str, Tensor] = self.auxiliary_query_losses[name](predictions, targets)
        return losses


def _renamed(losses: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {f"loss_{name}_{x.removeprefix('loss_')}": loss for x, loss in losses.items()}


def _check_heads(heads: CollaborativeHeads | None, num_classes: int, eval_head: str | None) -> None:
    if heads is None:
        raise ValueError(
            "heads is None; give CollaborativeHeads, or build a DeformableDETR without any."
        )
    numbers = {name: head.num_classes for name, head in heads.items()}
    if set(numbers.values()) - {num_classes}:
        found = ", ".join(f"{name!r} {number}" for name, number in numbers.items())
        raise ValueError(
            f"num_classes is {num_classes}, but the collaborative heads have {found}; set "
            "model.num_classes, which the heads of a config refer to."
        )
    if eval_head is not None and eval_head not in heads:
        names = " or ".join(map(repr, heads)) or "no other"
        raise ValueError(
            f"eval_head is {eval_head!r}, but the collaborative heads are {names}; give one of "
            "them, or None for the decoder."
        )
