"""Evaluation of detectors on long-tailed data."""

from rankdet.environment import check_environment

check_environment()

# The import below needs the environment that the line above has just checked.
from rankdet.evaluation.lvis_evaluation import LVISEvaluator  # noqa: E402

__all__ = ["LVISEvaluator"]
