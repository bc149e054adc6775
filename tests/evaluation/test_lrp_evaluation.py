"""The LRP evaluator works alone and beside that of AP, on data in the formats of LVIS and COCO."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from coco_fixture import forget_tiny_cityscapes, register_tiny_cityscapes
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import (
    COCOEvaluator,
    DatasetEvaluator,
    inference_on_dataset,
    print_csv_format,
)
from detectron2.structures import Instances
from evaluation_ranks import perfect_predictions
from omegaconf import OmegaConf

from rankdet.evaluation import LRPEvaluator, LVISEvaluator

pytestmark = pytest.mark.usefixtures("lvis_datasets")

Record = dict[str, Any]
MEANS = ["oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN", "score_iou_correlation"]
OF_GROUPS = ["oLRPr", "oLRPc", "oLRPf"]


def predict(record: Record, size: float = 1.0) -> Instances:
    """The objects of an image, their boxes cut to a part of their width."""
    predictions = perfect_predictions(record)
    boxes = predictions.pred_boxes.tensor
    boxes[:, 2] = boxes[:, 0] + size * (boxes[:, 2] - boxes[:, 0])
    return predictions


def nothing(record: Record) -> Instances:
    return predict(record)[torch.zeros(0, dtype=torch.long)]


def evaluate(
    evaluator: DatasetEvaluator | list[DatasetEvaluator],
    model: Callable[[Record], Instances] = predict,
    dataset_name: str = "lvis_v1_val",
) -> Record:
    loader = [[record] for record in DatasetCatalog.get(dataset_name)]
    return inference_on_dataset(lambda inputs: [{"instances": model(inputs[0])}], loader, evaluator)


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


def test_perfect_predictions_have_no_error() -> None:
    evaluator = LRPEvaluator("lvis_v1_val", distributed=False)
    results = evaluate(evaluator)
    assert list(results) == ["bbox_lrp", "segm_lrp"]
    for task, metrics in results.items():
        assert list(metrics) == MEANS + OF_GROUPS
        assert [metrics[name] for name in MEANS[:4]] == pytest.approx([0, 0, 0, 0])
        assert math.isnan(metrics["score_iou_correlation"])
        assert all(v.shape == (1203,) for v in evaluator.scores[task].per_class.values())
    print_csv_format(results)


def test_no_predictions_at_all_are_all_error() -> None:
    for metrics in evaluate(LRPEvaluator("lvis_v1_val", distributed=False), nothing).values():
        assert (metrics["oLRP"], metrics["oLRP_FN"]) == (100, 100)
        assert math.isnan(metrics["oLRP_Loc"])
        assert math.isnan(metrics["oLRP_FP"])


def test_goes_beside_the_evaluator_of_ap() -> None:
    cfg = OmegaConf.create({"name": "lvis_v1_val"}, flags={"allow_objects": True})
    cfg.evaluator = L(LVISEvaluator)(dataset_name="${name}", distributed=False)
    cfg.evaluator = [cfg.evaluator, L(LRPEvaluator)(dataset_name="${name}", distributed=False)]
    results = evaluate(instantiate(cfg.evaluator))
    assert list(results) == ["bbox", "segm", "bbox_lrp", "segm_lrp"]
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["bbox_lrp"]["oLRP"] == pytest.approx(0)


def test_coco_style_data_has_no_groups(coco_style_dataset: str) -> None:
    evaluator = LRPEvaluator(coco_style_dataset, distributed=False)
    results = evaluate(evaluator, lambda record: predict(record, size=0.75), coco_style_dataset)
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
    alone = evaluate(LRPEvaluator(tiny_cityscapes, distributed=False), dataset_name=tiny_cityscapes)
    assert alone["segm_lrp"]["oLRP"] == pytest.approx(0, abs=0.1)  # boxes are rounded
    coco = COCOEvaluator(tiny_cityscapes, distributed=False, output_dir=str(tmp_path))
    evaluators = [coco, LRPEvaluator(tiny_cityscapes, distributed=False)]
    results = evaluate(evaluators, dataset_name=tiny_cityscapes)
    assert results["bbox"]["AP"] == pytest.approx(100)
    for task in ("bbox_lrp", "segm_lrp"):
        assert results[task]["oLRP"] == pytest.approx(0, abs=0.1)  # the file's boxes are rounded
