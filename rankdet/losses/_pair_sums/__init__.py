"""Sums of the step H over pairs of logits, in the ways that users choose by name.

:mod:`.interface` says what a way offers; :mod:`.exact` has the fast one, whose halves are
:mod:`.negatives` and :mod:`.positives` or :mod:`.few_positives`, :mod:`.bucketed` what it makes of
means of negatives, :mod:`.pairwise` the papers' definition. :mod:`.rows` are several rankings.
"""

from collections.abc import Mapping

from rankdet.losses._pair_sums.bucketed import BucketedSums
from rankdet.losses._pair_sums.exact import ExactSums
from rankdet.losses._pair_sums.interface import StepSums
from rankdet.losses._pair_sums.pairwise import PairwiseSums

ALGORITHMS: Mapping[str, type[StepSums]] = {"exact": ExactSums, "pairwise": PairwiseSums}
ALL_ALGORITHMS: Mapping[str, type[StepSums]] = {**ALGORITHMS, "bucketed": BucketedSums}
