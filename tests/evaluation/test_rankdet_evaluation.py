"""One evaluator gives every metric, per class too, in one process and on two ranks."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.structures import Boxes, Instances
from omegaconf import OmegaConf
from support.perfect_predictions import (
    cut_predictions,
    evaluate,
    evaluate_on_two_ranks,
    perfect_predictions,
)

from rankdet.evaluation import RankdetEvaluator

pytestmark = pytest.mark.usefixtures("lvis_datasets")

Record = dict[str, Any]
EVERYTHING = {"tasks": ("bbox", "segm", "boundary"), "max_dets_per_class": 10_000}
KEYS = ["bbox", "bbox_fixed", "bbox_lrp", "segm", "segm_fixed", "segm_lrp"]
KEYS += ["boundary", "boundary_fixed"]
AP_METRICS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"]
AP_METRICS += ["AR@1", "AR@10", "AR", "ARs", "ARm", "ARl", "ARr", "ARc", "ARf"]
ERRORS = ["oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN"]
LRP_METRICS = [*ERRORS, "score_iou_correlation", "oLRPr", "oLRPc", "oLRPf"]


def make(**options: Any) -> RankdetEvaluator:
    return RankdetEvaluator("lvis_v1_val", distributed=False, **options)


def judge(evaluator: RankdetEvaluator, predict: Any) -> Record:
    return evaluate(evaluator, predict, DatasetCatalog.get("lvis_v1_val"))


def test_perfect_predictions_score_100_in_all_metrics(tmp_path: Path) -> None:
    evaluator = make(output_dir=str(tmp_path), **EVERYTHING)
    results = judge(evaluator, perfect_predictions)
    assert list(results) == KEYS
    for key, metrics in results.items():
        if key.endswith("lrp"):
            assert list(metrics) == LRP_METRICS
            assert [metrics[name] for name in ERRORS] == pytest.approx([0, 0, 0, 0])
            assert math.isnan(metrics["score_iou_correlation"])
            assert all(v.shape == (1203,) for v in evaluator.scores[key].per_class.values())
            continue
        assert list(metrics) == AP_METRICS
        assert (metrics["AP"], metrics["AR"]) == pytest.approx((100, 100)), key
        # The fixture has no large object, no object of a rare class, and in one image several of
        # a class.
        assert 50 < metrics.pop("AR@1") < 100
        assert all(v == pytest.approx(100) or math.isnan(v) for v in metrics.values()), key
        assert evaluator.scores[key].class_ap.shape == (1203,)
    dumped = json.loads((tmp_path / "lvis_instances_results.json").read_text())
    assert {d["category_id"] for d in dumped} <= {1, 2, 12, 500, 793, 1203}
    print_csv_format(results)


@pytest.mark.parametrize("masks", [True, False])
def test_no_predictions_at_all_are_all_error(masks: bool) -> None:
    results = judge(make(), lambda record: perfect_predictions(record, masks)[:0])
    keys = ["bbox", "bbox_lrp", "segm", "segm_lrp"]
    assert list(results) == (keys if masks else keys[:2])
    for key, metrics in results.items():
        if key.endswith("lrp"):
            assert (metrics["oLRP"], metrics["oLRP_FN"]) == (100, 100)
            assert math.isnan(metrics["oLRP_Loc"])
            assert math.isnan(metrics["oLRP_FP"])
            continue
        assert metrics["AP"] == metrics["AP50"] == 0
        assert math.isnan(metrics["APl"])
        assert all(value == 0 or math.isnan(value) for value in metrics.values())
    print_csv_format(results)


def test_no_images_give_no_results() -> None:
    assert evaluate(RankdetEvaluator("lvis_v1_val"), perfect_predictions, []) == {}


def test_metrics_can_come_from_two_evaluators() -> None:
    cfg = OmegaConf.create({"name": "lvis_v1_val"}, flags={"allow_objects": True})
    cfg.evaluator = [
        L(RankdetEvaluator)(dataset_name="${name}", distributed=False, metrics=[metric])
        for metric in ("ap", "lrp")
    ]
    loader = [[record] for record in DatasetCatalog.get("lvis_v1_val")]
    results = inference_on_dataset(
        lambda inputs: [{"instances": cut_predictions(inputs[0])}],
        loader,
        instantiate(cfg.evaluator),
    )
    assert list(results) == ["bbox", "segm", "bbox_lrp", "segm_lrp"]
    expected = judge(make(), cut_predictions)
    assert list(expected) == ["bbox", "bbox_lrp", "segm", "segm_lrp"]
    for key, metrics in results.items():
        assert metrics == pytest.approx(expected[key], nan_ok=True)
    assert 0 < results["bbox"]["AP"] < 100


def test_task_without_predictions_scores_zero() -> None:
    evaluator = make(tasks=("bbox", "segm"), metrics=("ap",))
    results = judge(evaluator, lambda record: perfect_predictions(record, masks=False))
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["segm"]["AP"] == 0


def test_a_single_detection_scores() -> None:
    first_id = DatasetCatalog.get("lvis_v1_val")[0]["image_id"]

    def predict(record: Record) -> Instances:
        return perfect_predictions(record)[: int(record["image_id"] == first_id)]

    results = judge(make(metrics=("ap",)), predict)
    assert 0 < results["bbox"]["AP"] < 100
    assert results["segm"]["AP"] == pytest.approx(results["bbox"]["AP"])


def test_only_fixed_ap_ignores_how_many_there_are_in_an_image() -> None:
    """300 confident detections of classes absent from the image push the right ones out."""

    def predict(record: Record) -> Instances:
        right = perfect_predictions(record, masks=False)
        wrong = Instances(right.image_size)
        wrong.pred_boxes = Boxes(torch.tensor([[0.0, 0, 9, 9]]).repeat(300, 1))
        wrong.pred_classes = torch.full((300,), 776)
        wrong.scores = torch.full((300,), 0.95)
        return Instances.cat([right, wrong])

    def ap(**limits: int) -> dict[str, float]:
        results = judge(make(metrics=("ap",), **limits), predict)
        return {key: metrics["AP"] for key, metrics in results.items()}

    assert ap(max_dets_per_class=10_000) == pytest.approx({"bbox": 0, "bbox_fixed": 100})
    assert 0 < ap(max_dets_per_class=1)["bbox_fixed"] < 100
    assert ap(max_dets_per_image=400) == pytest.approx({"bbox": 100})


@pytest.mark.parametrize(("limit", "is_warned"), [(3, True), (2, False)])
def test_warns_if_the_model_gave_no_more_than_ap_counts(
    limit: int,
    is_warned: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("rankdet")
    monkeypatch.setattr(logger, "propagate", True)  # other tests may have set Detectron2's up
    limits = {"max_dets_per_image": limit, "max_dets_per_class": 10_000}
    judge(make(tasks=("bbox",), metrics=("ap",), **limits), perfect_predictions)
    assert ("test_topk_per_image" in caplog.text) == is_warned


def test_scores_of_every_class_are_written(tmp_path: Path) -> None:
    results = judge(make(output_dir=str(tmp_path), **EVERYTHING), cut_predictions)
    tables = json.loads((tmp_path / "class_scores.json").read_text())
    assert list(tables) == [key for key in KEYS if not key.endswith("lrp")]
    for key, table in tables.items():
        assert len(table) == 1203
        assert table["1203"].keys() == {"name", "frequency", "AP", "AR"}
        for name in ("AP", "AR"):
            of_class = [row[name] for row in table.values() if row[name] is not None]
            assert 0 < len(of_class) <= 6
            assert sum(of_class) / len(of_class) == pytest.approx(results[key][name])


def test_optimal_lrp_alone_leaves_no_scores_of_classes(tmp_path: Path) -> None:
    results = judge(make(output_dir=str(tmp_path), metrics=["lrp"]), cut_predictions)
    assert list(results) == ["bbox_lrp", "segm_lrp"]
    assert [path.name for path in tmp_path.iterdir()] == ["lvis_instances_results.json"]


def test_two_ranks_are_one(tmp_path: Path) -> None:
    folder = str(tmp_path / "one")
    evaluator = RankdetEvaluator("lvis_v1_val", ("bbox", "segm"), output_dir=folder)
    expected = judge(evaluator, cut_predictions)
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


def test_class_that_the_dataset_lacks_is_named() -> None:
    def predict(record: Record) -> Instances:
        predictions = perfect_predictions(record)
        predictions.pred_classes[:] = 1203
        return predictions

    with pytest.raises(ValueError, match=r"class 1203, but dataset 'lvis_v1_val' has only 1203"):
        judge(make(), predict)


def test_unknown_dataset_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'lvis_v1_vall' is not registered.*lvis_v1_val"):
        RankdetEvaluator("lvis_v1_vall")


def test_truncated_annotation_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('{"images": [')
    DatasetCatalog.register("cut_val", list)
    MetadataCatalog.get("cut_val").json_file = str(path)
    try:
        with pytest.raises(ValueError, match=r"'cut_val' is not valid JSON.*cut\.json"):
            RankdetEvaluator("cut_val")
    finally:
        DatasetCatalog.remove("cut_val")
        MetadataCatalog.remove("cut_val")
