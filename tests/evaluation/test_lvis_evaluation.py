"""The evaluator takes Detectron2 predictions, or none, and its results suit Detectron2's hooks."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import print_csv_format
from detectron2.structures import Boxes, Instances
from evaluation_ranks import perfect_predictions

from rankdet.evaluation import LVISEvaluator

pytestmark = pytest.mark.usefixtures("lvis_datasets")

METRICS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"]
METRICS += ["AR@1", "AR@10", "AR", "ARs", "ARm", "ARl", "ARr", "ARc", "ARf"]
Record = dict[str, Any]


def no_predictions(record: Record, masks: bool = True) -> Instances:
    return perfect_predictions(record, masks)[torch.zeros(0, dtype=torch.long)]


def evaluate(evaluator: LVISEvaluator, predict: Any, masks: bool = True) -> Record:
    evaluator.reset()
    for record in DatasetCatalog.get("lvis_v1_val"):
        evaluator.process([record], [{"instances": predict(record, masks)}])
    return evaluator.evaluate()


def test_perfect_predictions_score_100(tmp_path: Path) -> None:
    evaluator = LVISEvaluator("lvis_v1_val", distributed=False, output_dir=str(tmp_path))
    results = evaluate(evaluator, perfect_predictions)
    assert list(results) == ["bbox", "segm"]
    for task in results:
        assert list(results[task]) == METRICS
        for name, value in results[task].items():
            # The fixture has no large instance, and no rare class with an annotation; one class
            # has several in an image.
            if name == "AR@1":
                assert 50 < value < 100
                continue
            assert value == pytest.approx(100) or math.isnan(value), (task, name)
        assert results[task]["AP"] == pytest.approx(100)
        assert evaluator.scores[task].class_ap.shape == (1203,)
    dumped = json.loads((tmp_path / "lvis_instances_results.json").read_text())
    assert {d["category_id"] for d in dumped} <= {1, 2, 12, 500, 793, 1203}
    print_csv_format(results)


@pytest.mark.parametrize("masks", [True, False])
def test_no_predictions_at_all_score_zero(masks: bool) -> None:
    results = evaluate(LVISEvaluator("lvis_v1_val", distributed=False), no_predictions, masks)
    assert list(results) == (["bbox", "segm"] if masks else ["bbox"])
    for metrics in results.values():
        assert metrics["AP"] == metrics["AP50"] == 0
        assert all(value == 0 or math.isnan(value) for value in metrics.values())
    print_csv_format(results)


def test_task_without_predictions_scores_zero() -> None:
    evaluator = LVISEvaluator("lvis_v1_val", tasks=("bbox", "segm"), distributed=False)
    results = evaluate(evaluator, perfect_predictions, masks=False)
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["segm"]["AP"] == 0


def test_a_single_detection_scores() -> None:
    first_id = DatasetCatalog.get("lvis_v1_val")[0]["image_id"]

    def predict(record: Record, masks: bool) -> Instances:
        keep = slice(0, 1 if record["image_id"] == first_id else 0)
        return perfect_predictions(record, masks)[keep]

    results = evaluate(LVISEvaluator("lvis_v1_val", distributed=False), predict)
    assert 0 < results["bbox"]["AP"] < 100
    assert results["segm"]["AP"] == pytest.approx(results["bbox"]["AP"])


def test_only_the_best_detections_of_an_image_count() -> None:
    """300 confident detections of classes absent from the image push the right ones out."""

    def predict(record: Record, masks: bool) -> Instances:
        right = perfect_predictions(record, masks=False)
        wrong = Instances(right.image_size)
        wrong.pred_boxes = Boxes(torch.tensor([[0.0, 0, 9, 9]]).repeat(300, 1))
        wrong.pred_classes = torch.full((300,), 776)
        wrong.scores = torch.full((300,), 0.95)
        return Instances.cat([right, wrong])

    limited = evaluate(LVISEvaluator("lvis_v1_val", distributed=False), predict)
    unlimited = evaluate(
        LVISEvaluator("lvis_v1_val", distributed=False, max_dets_per_image=400), predict
    )
    assert limited["bbox"]["AP"] == 0
    assert unlimited["bbox"]["AP"] == pytest.approx(100)


def test_class_that_the_dataset_lacks_is_named() -> None:
    def predict(record: Record, masks: bool) -> Instances:
        predictions = perfect_predictions(record, masks)
        predictions.pred_classes[:] = 1203
        return predictions

    with pytest.raises(ValueError, match=r"class 1203, but dataset 'lvis_v1_val' has only 1203"):
        evaluate(LVISEvaluator("lvis_v1_val", distributed=False), predict)


def test_unknown_dataset_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'lvis_v1_vall' is not registered.*lvis_v1_val"):
        LVISEvaluator("lvis_v1_vall")


def test_truncated_annotation_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('{"images": [')
    DatasetCatalog.register("cut_val", list)
    MetadataCatalog.get("cut_val").json_file = str(path)
    try:
        with pytest.raises(ValueError, match=r"'cut_val' is not valid JSON.*cut\.json"):
            LVISEvaluator("cut_val")
    finally:
        DatasetCatalog.remove("cut_val")
        MetadataCatalog.remove("cut_val")
