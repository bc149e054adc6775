"""Which of a level's predictions go on to non-maximum suppression.

Letters: M candidates of one level.
"""

from typing import Protocol

import torch
from torch import Tensor


class Candidates(Protocol):
    """A rule that picks pairs of an anchor and a class."""

    def __call__(
        self, class_scores: Tensor, scores: Tensor, threshold: float, number: int
    ) -> tuple[Tensor, Tensor]:
        """Pick from the anchors of one level of one image.

        Args:
            class_scores: ``(A, C)`` in [0, 1], of the classes alone.
            scores: ``(A, C)`` that rank detections; those of the classes, if there is no quality.
            threshold: smallest score of a candidate.
            number: how many may remain; of what, and by which score, is the rule's.

        Returns:
            ``(M,)`` anchors and ``(M,)`` classes, int64.
        """
        ...


class Pairs:
    """Pairs of an anchor and a class whose class score is above the threshold, the best of them.

    Quality decides no more than the order of what remains. Source: mmdetection 3.3's RetinaNet,
    FCOS, ATSS and VarifocalNet. Detectron2's FCOS has the combined score in both places.
    """

    def __call__(
        self, class_scores: Tensor, scores: Tensor, threshold: float, number: int
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`Candidates.__call__`; ``number`` of pairs."""
        anchors, classes = (class_scores > threshold).nonzero(as_tuple=True)
        kept = _largest(class_scores[anchors, classes], number)
        return anchors[kept], classes[kept]


class Locations:
    """All classes, above the threshold, of the anchors whose best class has the largest score.

    Both go by the scores that rank detections. Source: mmdetection 3.3's PAA, and all one-stage
    detectors of the AP, aLRP, RS and BRS releases (mmdetection 2).
    """

    def __call__(
        self, class_scores: Tensor, scores: Tensor, threshold: float, number: int
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`Candidates.__call__`; ``number`` of anchors."""
        kept = _largest(scores.amax(dim=1), number)
        rows, classes = (scores[kept] > threshold).nonzero(as_tuple=True)
        return kept[rows], classes


def _largest(values: Tensor, number: int) -> Tensor:
    """Places of the ``number`` largest of a row, or of all, by descending value."""
    size = values.shape[0]
    if isinstance(size, Tensor):  # when traced
        return values.topk(torch.clamp(size, max=number)).indices
    return values.topk(min(size, number)).indices
