"""What Detectron2's LVIS evaluator does, with today's NumPy, and without predictions, too."""

from collections.abc import Sequence

from rankdet.data.annotation_file import Record
from rankdet.evaluation.detection_evaluation import DetectionEvaluator
from rankdet.evaluation.lvis_scoring import LVISScores, score_lvis


class LVISEvaluator(DetectionEvaluator[LVISScores]):
    """Evaluate boxes and masks with the metrics of LVIS.

    The results have the form of those of Detectron2's evaluator (`bbox/AP`, `segm/APr`, ...), and
    average recall as well, but are made by faster-coco-eval: the lvis package fails with NumPy
    since 1.24 and takes many times as long. Files in the format of COCO are scored by COCO's rules.
    Images without predictions, all of them too, give zeros. A metric over no annotated class is
    nan.
    """

    def score(self, content: Record, results: Sequence[Record], task: str) -> dict[str, LVISScores]:
        """Score by :func:`rankdet.evaluation.lvis_scoring.score_lvis`."""
        limit = self._max_dets_per_image
        return {task: score_lvis(content, results, task, max_dets_per_image=limit)}
