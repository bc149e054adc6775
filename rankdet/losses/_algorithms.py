"""The ways in which ranking losses compute their sums over pairs, by the name users give."""

from collections.abc import Mapping

from rankdet.losses._bucketed_sums import BucketedSums
from rankdet.losses._exact_sums import ExactSums
from rankdet.losses._pairwise_sums import PairwiseSums
from rankdet.losses._ranking import StepSums

ALGORITHMS: Mapping[str, type[StepSums]] = {"exact": ExactSums, "pairwise": PairwiseSums}
ALL_ALGORITHMS: Mapping[str, type[StepSums]] = {**ALGORITHMS, "bucketed": BucketedSums}
