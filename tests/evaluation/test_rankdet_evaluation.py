"""One evaluator gives every metric, per class too, in one process and on two ranks."""

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import print_csv_format
from detectron2.structures import Boxes, Instances
from evaluation_ranks import (
    cut_predictions,
    evaluate,
    evaluate_on_two_ranks,
    perfect_predictions,
)

from rankdet.evaluation import LRPEvaluator, LVISEvaluator, RankdetEvaluator

pytestmark = pytest.mark.usefixtures("lvis_datasets")

Record = dict[str, Any]
EVERYTHING = {"tasks": ("bbox", "segm", "boundary"), "max_dets_per_class": 10_000}
KEYS = ["bbox", "bbox_fixed", "bbox_lrp", "segm", "segm_fixed", "segm_lrp"]
KEYS += ["boundary", "boundary_fixed"]


def test_perfect_predictions_score_100_in_all_metrics(tmp_path: Path) -> None:
    evaluator = RankdetEvaluator(
        "lvis_v1_val", distributed=False, output_dir=str(tmp_path), **EVERYTHING
    )
    results = evaluate(evaluator, perfect_predictions, DatasetCatalog.get("lvis_v1_val"))
    assert list(results) == KEYS
    for key, metrics in results.items():
        if key.endswith("lrp"):
            assert metrics["oLRP"] == pytest.approx(0)
        else:
            assert (metrics["AP"], metrics["AR"]) == pytest.approx((100, 100)), key
    print_csv_format(results)


def test_gives_what_the_single_evaluators_give() -> None:
    records = DatasetCatalog.get("lvis_v1_val")
    evaluator = RankdetEvaluator("lvis_v1_val", distributed=False)
    results = evaluate(evaluator, cut_predictions, records)
    for make in (LVISEvaluator, LRPEvaluator):
        single = evaluate(make("lvis_v1_val", distributed=False), cut_predictions, records)
        for key, metrics in single.items():
            assert metrics == pytest.approx(results[key], nan_ok=True)
    assert 0 < results["bbox"]["AP"] < 100
    assert list(results) == ["bbox", "bbox_lrp", "segm", "segm_lrp"]


def test_only_fixed_ap_ignores_how_many_there_are_in_an_image() -> None:
    """300 confident detections of classes absent from the image push the right ones out."""

    def predict(record: Record) -> Instances:
        right = perfect_predictions(record, masks=False)
        wrong = Instances(right.image_size)
        wrong.pred_boxes = Boxes(torch.tensor([[0.0, 0, 9, 9]]).repeat(300, 1))
        wrong.pred_classes = torch.full((300,), 776)
        wrong.scores = torch.full((300,), 0.95)
        return Instances.cat([right, wrong])

    records = DatasetCatalog.get("lvis_v1_val")

    def metrics(limit: int) -> dict[str, dict[str, float]]:
        evaluator = RankdetEvaluator("lvis_v1_val", distributed=False, max_dets_per_class=limit)
        return evaluate(evaluator, predict, records)

    assert metrics(10_000)["bbox"]["AP"] == 0
    assert metrics(10_000)["bbox_fixed"]["AP"] == pytest.approx(100)
    assert 0 < metrics(1)["bbox_fixed"]["AP"] < 100


@pytest.mark.parametrize(("limit", "is_warned"), [(3, True), (2, False)])
def test_warns_if_the_model_gave_no_more_than_ap_counts(
    limit: int,
    is_warned: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("rankdet")
    monkeypatch.setattr(logger, "propagate", True)  # other tests may have set Detectron2's up
    evaluator = RankdetEvaluator(
        "lvis_v1_val",
        ("bbox",),
        distributed=False,
        max_dets_per_image=limit,
        max_dets_per_class=10_000,
    )
    evaluate(evaluator, perfect_predictions, DatasetCatalog.get("lvis_v1_val"))
    assert ("test_topk_per_image" in caplog.text) == is_warned


def test_scores_of_every_class_are_written(tmp_path: Path) -> None:
    evaluator = RankdetEvaluator(
        "lvis_v1_val", distributed=False, output_dir=str(tmp_path), **EVERYTHING
    )
    results = evaluate(evaluator, cut_predictions, DatasetCatalog.get("lvis_v1_val"))
    tables = json.loads((tmp_path / "class_scores.json").read_text())
    assert list(tables) == [key for key in KEYS if not key.endswith("lrp")]
    for key, table in tables.items():
        assert len(table) == 1203
        assert table["1203"].keys() == {"name", "frequency", "AP", "AR"}
        for name in ("AP", "AR"):
            of_class = [row[name] for row in table.values() if row[name] is not None]
            assert 0 < len(of_class) <= 6
            assert sum(of_class) / len(of_class) == pytest.approx(results[key][name])


def test_two_ranks_are_one(tmp_path: Path) -> None:
    folder = str(tmp_path / "one")
    evaluator = RankdetEvaluator("lvis_v1_val", ("bbox", "segm"), output_dir=folder)
    expected = evaluate(evaluator, cut_predictions, DatasetCatalog.get("lvis_v1_val"))
    (tmp_path / "two").mkdir()
    of_main, of_other = evaluate_on_two_ranks(tmp_path / "two")
    assert of_other is None
    assert of_main.keys() == expected.keys()
    for key, metrics in of_main.items():
        assert metrics == pytest.approx(expected[key], nan_ok=True), key
    one, two = (
        json.loads((tmp_path / folder / "lvis_instances_results.json").read_text())
        for folder in ("one", "two")
    )
    assert sorted(one, key=str) == sorted(two, key=str)


@pytest.fixture
def coco_style_datasets(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Three classes, in 5, 50 and 150 images of the training set, in the format of COCO."""
    box = {"bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0}

    def register(name: str, classes: list[int]) -> str:
        size = {"height": 64, "width": 64}
        content = {
            "images": [{"id": i, "file_name": f"{i}.jpg", **size} for i in range(len(classes))],
            "annotations": [
                {"id": i, "image_id": i, "category_id": c, **box} for i, c in enumerate(classes)
            ],
            "categories": [{"id": i, "name": f"class {i}"} for i in (3, 5, 9)],
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        register_coco_instances(name, {}, str(path), str(tmp_path))
        return name

    names = register("few_train", [3] * 150 + [5] * 50 + [9] * 5), register("few_val", [3, 5, 9])
    yield names
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def predict_first_class(record: Record) -> Instances:
    """The object of the image, as one of the first class."""
    predictions = Instances((64, 64), pred_boxes=Boxes(torch.tensor([[10.0, 10, 30, 30]])))
    predictions.pred_classes, predictions.scores = torch.tensor([0]), torch.ones(1)
    return predictions


def test_training_set_decides_the_groups_of_coco_style_data(
    coco_style_datasets: tuple[str, str],
) -> None:
    train, val = coco_style_datasets
    evaluator = RankdetEvaluator(val, distributed=False, training_dataset=train)
    metrics = evaluate(evaluator, predict_first_class, DatasetCatalog.get(val))["bbox"]
    # Every class is judged in every image, so two of the three detections are wrong.
    assert (metrics["APf"], metrics["APc"], metrics["APr"]) == pytest.approx((100, 0, 0), abs=1e-9)
    without = RankdetEvaluator(val, distributed=False)
    metrics = evaluate(without, predict_first_class, DatasetCatalog.get(val))["bbox"]
    of_sizes = ["APs", "APm", "APl", "AR@1", "AR@10", "AR", "ARs", "ARm", "ARl"]
    assert list(metrics) == ["AP", "AP50", "AP75", *of_sizes]


def test_masks_are_scored_only_where_they_are_annotated(
    coco_style_datasets: tuple[str, str],
) -> None:
    def predict(record: Record) -> Instances:
        predictions = predict_first_class(record)
        predictions.pred_masks = torch.ones(1, 64, 64, dtype=torch.bool)
        return predictions

    _, val = coco_style_datasets
    results = evaluate(RankdetEvaluator(val, distributed=False), predict, DatasetCatalog.get(val))
    assert list(results) == ["bbox", "bbox_lrp"]
    with pytest.raises(
        ValueError, match=r"Annotation 0 has no 'segmentation'.*tasks=\(\"bbox\",\)"
    ):
        RankdetEvaluator(val, ("bbox", "segm"))


def test_training_set_of_other_classes_is_named(coco_style_datasets: tuple[str, str]) -> None:
    _, val = coco_style_datasets
    with pytest.raises(ValueError, match=r"'lvis_v1_train' with 1203 classes.*has 3"):
        RankdetEvaluator(val, distributed=False, training_dataset="lvis_v1_train")


def test_no_images_give_no_results() -> None:
    assert evaluate(RankdetEvaluator("lvis_v1_val"), perfect_predictions, []) == {}
    nothing = evaluate(
        RankdetEvaluator("lvis_v1_val", ("bbox",)),
        lambda record: perfect_predictions(record)[:0],
        DatasetCatalog.get("lvis_v1_val"),
    )
    assert {metrics.get("AP", 0) for metrics in nothing.values()} == {0}
    assert math.isnan(nothing["bbox"]["APl"])


def test_unknown_task():
    with pytest.raises(ValueError, match="tasks is 'bbox'; give a list of some of 'bbox', 'segm'"):
        RankdetEvaluator("glyphs_smoke_val", tasks="bbox")
