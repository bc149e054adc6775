"""Sums of H over pairs of positives and means of negatives."""

from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rankdet.losses._pair_sums.exact import ExactSums
from rankdet.losses._pair_sums.rows import Rows


class BucketedSums(ExactSums):
    """:class:`~.interface.StepSums` with every negative at the mean of its bucket.

    A bucket is a run of negatives between successive positives in the sorted list of all logits; a
    negative that ties with a positive belongs to the bucket above it. As in the paper everything is
    sorted, O((M + P) log (M + P)). What follows, matrices of buckets and positives in the released
    code, are the exact sums over at most P + 1 means. In the released code, rounding can take the
    means of near-constant logits out of their buckets; here they are held inside.
    """

    takes_unseen: ClassVar[bool] = False

    def __init__(
        self, positives: Tensor, of_pos: Rows, negatives: Tensor, of_neg: Rows, delta: float
    ) -> None:
        num_rows, num_buckets = of_pos.num_rows, of_pos.width + 1
        # Negatives come first, and so before the positives with which they tie. What fills shorter
        # rows comes last.
        rows = [of_neg.pad(negatives, -torch.inf), of_pos.pad(positives, -torch.inf)]
        depths, order = torch.cat(rows, dim=1).double().neg().sort(stable=True)
        is_pos = order >= of_neg.width
        is_negative = ~is_pos & (depths < torch.inf)
        first_buckets = torch.arange(num_rows, device=order.device).unsqueeze(1) * num_buckets
        bucket = is_pos.cumsum(1) + first_buckets
        sizes = _sums(is_negative.double(), bucket, num_buckets)
        means = _sums(depths.where(is_negative, 0.0), bucket, num_buckets) / sizes.clamp(min=1)
        means = _hold_inside(means, depths, sizes.long())
        of_given = torch.empty_like(bucket).scatter_(1, order, bucket)[:, : of_neg.width]
        self.bucket = of_neg.unpad(of_given)
        of_means = Rows(num_rows, means.numel())
        logits = means.neg().flatten()
        super().__init__(positives.double(), of_pos, logits, of_means, delta, sizes.flatten())

    def spread(self, values: Tensor) -> Tensor:
        """Sum ``values[i] * H(n_j - p_i)`` over the positives, n_j being the mean of its bucket."""
        return super().spread(values)[self.bucket]


def _sums(values: Tensor, bucket: Tensor, num_buckets: int) -> Tensor:
    """Sum by bucket; ``(G, W)`` to ``(G, num_buckets)``."""
    num_rows = len(values)
    sums = torch.bincount(bucket.flatten(), values.flatten(), num_rows * num_buckets)
    return sums.view(num_rows, num_buckets)


def _hold_inside(means: Tensor, depths: Tensor, sizes: Tensor) -> Tensor:
    """Clamp each mean to the first and last of its bucket's negatives; empty ones mean nothing."""
    starts = sizes.cumsum(1) - sizes + torch.arange(sizes.shape[1], device=sizes.device)
    stops = (starts + sizes - 1).clamp(min=0)
    ends = F.pad(depths, (0, 1))  # An empty last bucket starts behind the end.
    return means.clamp(min=ends.gather(1, starts), max=ends.gather(1, stops))
