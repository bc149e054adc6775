"""What a model predicts and can't be scored is named with the first image that has it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from detectron2.data import DatasetCatalog
from detectron2.structures import Instances
from support.perfect_predictions import cut_predictions, evaluate

from rankdet.evaluation import RankdetEvaluator

pytestmark = pytest.mark.usefixtures("lvis_datasets")

Record = dict[str, Any]


def process_first(change: Callable[[Instances], None], **of_record: int) -> None:
    """Give an evaluator the changed predictions of the first image, and no more."""
    evaluator = RankdetEvaluator("lvis_v1_val", distributed=False)
    evaluator.reset()
    record = DatasetCatalog.get("lvis_v1_val")[0]
    predictions = cut_predictions(record)
    change(predictions)
    evaluator.process([{**record, **of_record}], [{"instances": predictions}])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(value: float) -> None:
    def change_score(predictions: Instances) -> None:
        predictions.scores[1] = value

    def change_box(predictions: Instances) -> None:
        predictions.pred_boxes.tensor[1, 2] = value

    with pytest.raises(ValueError, match=rf"with score {value} for image \d+; .*learning rate"):
        process_first(change_score)
    with pytest.raises(ValueError, match=rf"predicts box \[.*{value}.*\] with score 0"):
        process_first(change_box)


def test_masks_of_another_size_than_the_image() -> None:
    def cut_masks(predictions: Instances) -> None:
        predictions.pred_masks = predictions.pred_masks[:, 3:]

    with pytest.raises(ValueError, match=r"mask of image \d+ has \d+ x \d+ pixels, but the image"):
        process_first(cut_masks)


def test_image_that_the_annotation_file_lacks() -> None:
    with pytest.raises(ValueError, match="image 777777, which is not among the 4 images"):
        process_first(lambda _: None, image_id=777777)


def test_image_predicted_twice() -> None:
    """As a sampler does that pads the images to the same number for each process."""
    records = DatasetCatalog.get("lvis_v1_val")
    evaluator = RankdetEvaluator("lvis_v1_val", distributed=False)
    with pytest.raises(ValueError, match=rf"Image {records[1]['image_id']} was predicted 2 times"):
        evaluate(evaluator, cut_predictions, [*records, records[1]])


def test_evaluating_again_gives_the_same(tmp_path: Path) -> None:
    """Category ids are not those of the model, and must not be restored twice."""
    evaluator = RankdetEvaluator("lvis_v1_val", distributed=False, output_dir=str(tmp_path))
    first = evaluate(evaluator, cut_predictions, DatasetCatalog.get("lvis_v1_val"))
    written = json.loads((tmp_path / "lvis_instances_results.json").read_text())
    again = evaluator.evaluate()
    assert again is not None
    for key, metrics in first.items():
        assert again[key] == pytest.approx(metrics, nan_ok=True)
    assert json.loads((tmp_path / "lvis_instances_results.json").read_text()) == written
