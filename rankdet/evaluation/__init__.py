"""Evaluation of detectors on long-tailed data."""

from rankdet.environment import check_environment

check_environment()

# The imports below need the environment that the line above has just checked.
from rankdet.evaluation.lrp_evaluation import LRPEvaluator  # noqa: E402
from rankdet.evaluation.lvis_evaluation import LVISEvaluator  # noqa: E402
from rankdet.evaluation.rankdet_evaluation import RankdetEvaluator  # noqa: E402

__all__ = ["LRPEvaluator", "LVISEvaluator", "RankdetEvaluator"]
