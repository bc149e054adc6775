"""Data sets in the format of COCO, and without an annotation file, are judged as those of LVIS."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator, inference_on_dataset
from detectron2.structures import Boxes, Instances
from support.perfect_predictions import evaluate, perfect_predictions
from support.tiny_coco import forget_tiny_cityscapes, register_tiny_cityscapes

from rankdet.evaluation import RankdetEvaluator

pytestmark = pytest.mark.usefixtures("lvis_datasets")

Record = dict[str, Any]
MEANS = ["oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN", "score_iou_correlation"]


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
    with pytest.raises(ValueError, match=r"has 3 classes, but .* 'lvis_v1_train' have 1203"):
        RankdetEvaluator(val, distributed=False, training_dataset="lvis_v1_train")


def infer(
    evaluator: DatasetEvaluator | list[DatasetEvaluator],
    model: Callable[[Record], Instances],
    dataset_name: str,
) -> Record:
    loader = [[record] for record in DatasetCatalog.get(dataset_name)]
    return inference_on_dataset(lambda inputs: [{"instances": model(inputs[0])}], loader, evaluator)


def cut_to_three_quarters(record: Record) -> Instances:
    """The objects of an image, their boxes cut in width."""
    predictions = perfect_predictions(record)
    boxes = predictions.pred_boxes.tensor
    boxes[:, 2] = boxes[:, 0] + 0.75 * (boxes[:, 2] - boxes[:, 0])
    return predictions


@pytest.fixture
def coco_style_dataset(lvis_datasets: Path, tmp_path: Path) -> Iterator[str]:
    """Objects of the tiny LVIS, without any field that only LVIS has."""
    content = json.loads((lvis_datasets / "lvis/lvis_v1_val.json").read_text())
    for image in content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
        image["file_name"] = image["coco_url"].rpartition("/")[2]
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 0
    used = sorted({annotation["category_id"] for annotation in content["annotations"]})
    content["categories"] = [{"id": i, "name": str(i)} for i in [*used, 2000]]
    path = tmp_path / "coco_style.json"
    path.write_text(json.dumps(content))
    register_coco_instances("coco_style_val", {}, str(path), "")
    yield "coco_style_val"
    DatasetCatalog.remove("coco_style_val")
    MetadataCatalog.remove("coco_style_val")


def test_coco_style_data_has_no_groups(coco_style_dataset: str) -> None:
    evaluator = RankdetEvaluator(coco_style_dataset, distributed=False)
    results = infer(evaluator, cut_to_three_quarters, coco_style_dataset)
    assert list(results["bbox_lrp"]) == MEANS
    expected = {"oLRP": 50, "oLRP_Loc": 25, "oLRP_FP": 0, "oLRP_FN": 0}
    found = {name: results["bbox_lrp"][name] for name in expected}
    assert found == pytest.approx(expected, abs=1e-4)
    assert results["segm_lrp"]["oLRP"] == pytest.approx(0)
    assert math.isnan(evaluator.scores["bbox_lrp"].per_class["oLRP"][-1])


@pytest.fixture
def tiny_cityscapes(lvis_datasets: Path) -> Iterator[str]:
    register_tiny_cityscapes(lvis_datasets)
    yield "tiny_cityscapes_val"
    forget_tiny_cityscapes()


def test_raw_data_is_judged_alone_and_beside_the_evaluator_of_ap(
    tiny_cityscapes: str, tmp_path: Path
) -> None:
    """Its image ids are file names."""
    only_lrp = RankdetEvaluator(tiny_cityscapes, distributed=False, metrics=("lrp",))
    alone = infer(only_lrp, perfect_predictions, tiny_cityscapes)
    assert alone["segm_lrp"]["oLRP"] == pytest.approx(0, abs=0.1)  # boxes are rounded
    coco = COCOEvaluator(tiny_cityscapes, distributed=False, output_dir=str(tmp_path))
    results = infer([coco, only_lrp], perfect_predictions, tiny_cityscapes)
    assert results["bbox"]["AP"] == pytest.approx(100)
    for task in ("bbox_lrp", "segm_lrp"):
        assert results[task]["oLRP"] == pytest.approx(0, abs=0.1)  # the file's boxes are rounded
