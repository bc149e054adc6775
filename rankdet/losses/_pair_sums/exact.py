"""Sums of H over all pairs in quasi-linear time, without approximation.

All arithmetic is on depths, depth = -logit, so that what is ranked high comes first:
H(s_j - s_i) = clamp((depth_i - depth_j) / (2 delta) + 1/2, 0, 1).
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._pair_sums.negatives import NegativeIntervals
from rankdet.losses._pair_sums.positives import ExactLabelSums, PositiveOrder


class ExactSums:
    """:class:`~.interface.StepSums` in O(M log P + P log P) time, O(M + P) memory."""

    def __init__(
        self, positives: Tensor, negatives: Tensor, delta: float, counts: Tensor | None = None
    ) -> None:
        depths, self.order = positives.neg().sort()
        self.positives = PositiveOrder(depths.double(), delta)
        self.negatives = NegativeIntervals(depths, negatives.neg(), delta, counts)

    def false_positives(self) -> Tensor:
        """Sum ``H(n_j - p_i)`` over the negatives."""
        return self._as_given(self.negatives.above())

    def spread(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(n_j - p_i)`` over the positives."""
        return self.negatives.below(values[self.order])

    def above(self, values: Tensor) -> Tensor:
        """Sum ``values[j] * H(p_j - p_i)`` over the positives."""
        return self._as_given(self.positives.above(values[..., self.order]))

    def by_label(self, labels: Tensor) -> ExactLabelSums:
        """Sums over the pairs that labels select."""
        return ExactLabelSums(self.positives, self.order, labels)

    def _as_given(self, ranked: Tensor) -> Tensor:
        return torch.empty_like(ranked).index_copy_(-1, self.order, ranked)


class BucketedSums(ExactSums):
    """:class:`~.interface.StepSums` with every negative at the mean of its bucket.

    A bucket is a run of negatives between successive positives in the sorted list of all logits; a
    negative that ties with a positive belongs to the bucket above it. As in the paper everything is
    sorted, O((M + P) log (M + P)). What follows, matrices of buckets and positives in the released
    code, are the exact sums over at most P + 1 means. In the released code, rounding can take the
    means of near-constant logits out of their buckets; here they are held inside.
    """

    def __init__(self, positives: Tensor, negatives: Tensor, delta: float) -> None:
        # Negatives come first, and so before the positives with which they tie.
        depths, order = torch.cat([negatives, positives]).double().neg().sort(stable=True)
        is_negative = order < len(negatives)
        bucket = (~is_negative).cumsum(0)
        num_buckets = len(positives) + 1
        sizes = torch.bincount(bucket, is_negative.double(), num_buckets)
        means = torch.bincount(bucket, depths * is_negative, num_buckets) / sizes.clamp(min=1)
        means = _hold_inside(means, depths, sizes.long())
        self.bucket = torch.empty_like(bucket).scatter_(0, order, bucket)[: len(negatives)]
        super().__init__(positives.double(), means.neg(), delta, sizes)

    def spread(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(n_j - p_i)`` over the positives, n_j being the mean of its bucket."""
        return super().spread(values)[self.bucket]


def _hold_inside(means: Tensor, depths: Tensor, sizes: Tensor) -> Tensor:
    """Clamp each mean to the first and last of its bucket's negatives; empty ones mean nothing."""
    starts = sizes.cumsum(0) - sizes + torch.arange(len(sizes), device=sizes.device)
    stops = (starts + sizes - 1).clamp(min=0)
    ends = F.pad(depths, (0, 1))  # An empty last bucket starts behind the end.
    return means.clamp(min=ends[starts], max=ends[stops])
