"""An evaluator of optimal LRP, to be used alone or beside the evaluator of AP."""

from collections.abc import Sequence

from rankdet.data.annotation_file import Record
from rankdet.evaluation.detection_evaluation import DetectionEvaluator
from rankdet.evaluation.lrp_scoring import LRPScores, score_lrp


class LRPEvaluator(DetectionEvaluator[LRPScores]):
    """Evaluate boxes and masks by optimal LRP (lower is better) and correlation of score and IoU.

    For every dataset, by the rules of LVIS or of COCO as its annotations are.
    The results are `bbox_lrp/oLRP`, `segm_lrp/oLRP_Loc`, ..., named in
    :class:`rankdet.evaluation.lrp_scoring.LRPScores`: Detectron2 combines evaluators only where
    their keys differ. In a config, this evaluator goes beside another one of AP; there dataset
    names must be given from the root of the config (`"${dataloader.test.dataset.names}"`), as
    relative ones count the list as a level::

        dataloader.evaluator = [L(COCOEvaluator)(...), L(LRPEvaluator)(dataset_name=...)]
    """

    def score(self, content: Record, results: Sequence[Record], task: str) -> dict[str, LRPScores]:
        """Score by :func:`rankdet.evaluation.lrp_scoring.score_lrp`."""
        limit = self._max_dets_per_image
        return {f"{task}_lrp": score_lrp(content, results, task, max_dets_per_image=limit)}
