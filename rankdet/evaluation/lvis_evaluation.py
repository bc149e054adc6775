"""Detectron2's LVIS evaluator, made to run with today's NumPy and without predictions."""

from collections.abc import Sequence

from rankdet.data.annotation_file import Record
from rankdet.evaluation.detection_evaluation import DetectionEvaluator
from rankdet.evaluation.lvis_scoring import LVISScores, score_lvis


class LVISEvaluator(DetectionEvaluator[LVISScores]):
    """Evaluate boxes and masks with the metrics of LVIS, for `lvis_v1_*` and `glyphs*`.

    It collects, gathers and dumps the predictions as Detectron2's evaluator does and gives results
    of the same form (`bbox/AP`, `segm/APr`, ...), but scores them with faster-coco-eval: the lvis
    package fails with NumPy since 1.24 and takes several times as long. Images without
    predictions, all of them too, give zeros. A metric over no annotated class is nan.
    """

    def score(self, content: Record, results: Sequence[Record], task: str) -> dict[str, LVISScores]:
        """Score by :func:`rankdet.evaluation.lvis_scoring.score_lvis`."""
        limit = self._max_dets_per_image
        return {task: score_lvis(content, results, task, max_dets_per_image=limit)}
