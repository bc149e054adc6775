"""Evaluation of detectors on long-tailed data."""

from rankdet.evaluation.lvis_evaluation import LVISEvaluator

__all__ = ["LVISEvaluator"]
