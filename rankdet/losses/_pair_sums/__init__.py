"""Sums of the step H over pairs of logits, in the ways that users choose by name.

:mod:`.interface` says what a way offers; :mod:`.exact` has the fast one (:mod:`.positives` and
:mod:`.negatives` are its halves) and the bucketed one, :mod:`.pairwise` the papers' definition.
"""

from collections.abc import Mapping

from rankdet.losses._pair_sums.exact import BucketedSums, ExactSums
from rankdet.losses._pair_sums.interface import StepSums
from rankdet.losses._pair_sums.pairwise import PairwiseSums

ALGORITHMS: Mapping[str, type[StepSums]] = {"exact": ExactSums, "pairwise": PairwiseSums}
ALL_ALGORITHMS: Mapping[str, type[StepSums]] = {**ALGORITHMS, "bucketed": BucketedSums}
