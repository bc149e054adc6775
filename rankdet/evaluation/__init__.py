"""Evaluation of detectors on long-tailed data.

The names below are imported when they are first used, so that one of them does not bring them all.
"""

from typing import TYPE_CHECKING

from rankdet.environment import check_environment
from rankdet.lazy_names import lazy_names

if TYPE_CHECKING:
    from rankdet.evaluation.error_analysis import (
        Confusion,
        ErrorAnalysis,
        GroupErrors,
        analyze_errors,
    )
    from rankdet.evaluation.error_kinds import DetectionKind
    from rankdet.evaluation.lrp_scoring import (
        LRPScores,
        OptimalLRP,
        optimal_lrp,
        score_iou_correlation,
        score_lrp,
    )
    from rankdet.evaluation.lvis_scoring import LVISScores, class_scores, score_lvis
    from rankdet.evaluation.rankdet_evaluation import RankdetEvaluator
    from rankdet.evaluation.ranking_errors import ClassScores, RankingErrors, judged_classes
    from rankdet.evaluation.ranking_theory import (
        classification_error,
        detection_error_bounds,
        linear_slope,
        probabilistic_average_precision,
        ranking_error,
    )
    from rankdet.evaluation.reliability import score_calibration

check_environment()

_MODULES = {
    "ClassScores": "ranking_errors",
    "Confusion": "error_analysis",
    "DetectionKind": "error_kinds",
    "ErrorAnalysis": "error_analysis",
    "GroupErrors": "error_analysis",
    "LRPScores": "lrp_scoring",
    "LVISScores": "lvis_scoring",
    "OptimalLRP": "lrp_scoring",
    "RankdetEvaluator": "rankdet_evaluation",
    "RankingErrors": "ranking_errors",
    "analyze_errors": "error_analysis",
    "class_scores": "lvis_scoring",
    "classification_error": "ranking_theory",
    "detection_error_bounds": "ranking_theory",
    "judged_classes": "ranking_errors",
    "linear_slope": "ranking_theory",
    "optimal_lrp": "lrp_scoring",
    "probabilistic_average_precision": "ranking_theory",
    "ranking_error": "ranking_theory",
    "score_calibration": "reliability",
    "score_iou_correlation": "lrp_scoring",
    "score_lrp": "lrp_scoring",
    "score_lvis": "lvis_scoring",
}

__all__ = [
    "ClassScores",
    "Confusion",
    "DetectionKind",
    "ErrorAnalysis",
    "GroupErrors",
    "LRPScores",
    "LVISScores",
    "OptimalLRP",
    "RankdetEvaluator",
    "RankingErrors",
    "analyze_errors",
    "class_scores",
    "classification_error",
    "detection_error_bounds",
    "judged_classes",
    "linear_slope",
    "optimal_lrp",
    "probabilistic_average_precision",
    "ranking_error",
    "score_calibration",
    "score_iou_correlation",
    "score_lrp",
    "score_lvis",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
