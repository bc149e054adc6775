"""The LVIS metrics equal those of the lvis package on random federated data."""

import copy
import logging
import math
import types
from collections.abc import Callable
from typing import Any

import lvis.eval
import numpy as np
import pycocotools.mask
import pytest
from lvis import LVIS, LVISEval, LVISResults
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rankdet.evaluation.error_analysis import analyze_errors
from rankdet.evaluation.lrp_scoring import score_lrp
from rankdet.evaluation.lvis_scoring import LVISScores, score_lvis
from rankdet.evaluation.reliability import score_calibration

NUM_CATEGORIES = 30
SIZE = 160
Record = dict[str, Any]


def make_annotations(rng: np.random.Generator, num_images: int = 12) -> Record:
    """Federated ground truth: half of the classes are empty, and some objects have no area."""
    images, annotations = [], []
    for image_id in range(1, num_images + 1):
        present = rng.choice(NUM_CATEGORIES // 2, size=6, replace=False) + 1
        absent = rng.choice(np.arange(NUM_CATEGORIES // 2, NUM_CATEGORIES) + 1, size=8)
        images.append(
            {
                "id": image_id * 7,
                "height": SIZE,
                "width": SIZE,
                "neg_category_ids": np.unique(absent).tolist(),
                "not_exhaustive_category_ids": present[:2].tolist(),
            }
        )
        for _ in range(int(rng.integers(1, 25))):
            box = random_box(rng)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id * 7,
                    "category_id": int(rng.choice(present)),
                    "bbox": box,
                    "area": box[2] * box[3] if rng.random() < 0.9 else 0,
                    "segmentation": [corners(box)],
                }
            )
    categories = [{"id": i + 1, "frequency": "rcf"[i % 3]} for i in range(NUM_CATEGORIES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def random_box(rng: np.random.Generator) -> list[int]:
    x, y = rng.integers(0, SIZE - 20, size=2).tolist()
    w, h = (int(rng.integers(1, SIZE - start)) for start in (x, y))
    return [x, y, w, h]


def corners(box: list[int]) -> list[int]:
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def make_results(content: Record, rng: np.random.Generator, per_image: int) -> list[Record]:
    """Detections near the ground truth and at random, with many equal scores and some no area."""
    results = []
    for image in content["images"]:
        truth = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        for _ in range(per_image):
            if truth and rng.random() < 0.6:
                near = truth[rng.integers(len(truth))]
                box = (np.array(near["bbox"]) + rng.integers(-3, 4, size=4)).clip(0, SIZE).tolist()
                category_id = near["category_id"]
            else:
                box, category_id = random_box(rng), int(rng.integers(1, NUM_CATEGORIES + 1))
            mask = pycocotools.mask.frPyObjects([corners(box)], SIZE, SIZE)[0]
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": category_id,
                    "score": float(rng.integers(0, 20)) / 20,
                    "bbox": box,
                    "segmentation": mask,
                }
            )
    return results


@pytest.fixture
def lvis_with_todays_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lvis package 0.5.3 uses np.float, which NumPy 1.24 dropped."""
    monkeypatch.setattr(lvis.eval, "np", types.SimpleNamespace(**vars(np), float=float))


def lvis_evaluation(content: Record, results: list[Record], task: str, limit: int) -> LVISEval:
    ground_truth = LVIS.__new__(LVIS)
    ground_truth.dataset, ground_truth.logger = copy.deepcopy(content), logging.getLogger()
    ground_truth._create_index()
    results = copy.deepcopy(results)
    if task == "segm":
        for result in results:
            del result["bbox"]
    evaluation = LVISEval(ground_truth, LVISResults(ground_truth, results, limit), task)
    evaluation.run()
    return evaluation


def assert_equal_to_lvis(scores: LVISScores, expected: LVISEval) -> None:
    reference = {name.partition("@")[0]: value for name, value in expected.results.items()}
    precision, recall = (
        np.ma.masked_less(expected.eval[name][..., 0], 0) for name in ("precision", "recall")
    )
    for name, categories in zip(["ARr", "ARc", "ARf"], expected.freq_groups, strict=True):
        reference[name] = recall[:, categories].mean()
    assert set(scores.metrics) == {*reference, "AR@1", "AR@10"}
    for name in reference:
        value = scores.metrics[name]
        if np.ma.is_masked(reference[name]) or reference[name] == -1:
            assert math.isnan(value), name
        else:
            assert value == pytest.approx(100 * reference[name], abs=1e-9), name
    for found, values in [
        (scores.class_ap, precision.mean(axis=(0, 1))),
        (scores.class_ar, recall.mean(axis=0)),
    ]:
        np.testing.assert_allclose(found, 100 * values.filled(np.nan), rtol=0, atol=1e-9)


@pytest.mark.usefixtures("lvis_with_todays_numpy")
@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize(
    ("seed", "per_image", "limit"), [(0, 40, 300), (1, 40, 25), (2, 320, 300), (3, 1, 300)]
)
def test_metrics_equal_lvis(task: str, seed: int, per_image: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    content = make_annotations(rng)
    results = make_results(content, rng, per_image)
    given = copy.deepcopy((content, results))
    scores = score_lvis(content, results, task, max_dets_per_image=limit)
    assert (content, results) == given
    assert_equal_to_lvis(scores, lvis_evaluation(content, results, task, limit))


@pytest.mark.usefixtures("lvis_with_todays_numpy")
@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("limit", [5, 10_000])
def test_fixed_ap_equals_lvis_without_a_limit_per_image(task: str, limit: int) -> None:
    rng = np.random.default_rng(limit)
    content = make_annotations(rng)
    results = make_results(content, rng, per_image=320)
    best: list[Record] = []
    for category in content["categories"]:
        of_category = [r for r in results if r["category_id"] == category["id"]]
        best += sorted(of_category, key=lambda result: -result["score"])[:limit]
    scores = score_lvis(content, results, task, max_dets_per_image=None, max_dets_per_class=limit)
    assert_equal_to_lvis(scores, lvis_evaluation(content, best, task, limit=-1))


@pytest.mark.usefixtures("lvis_with_todays_numpy")
@pytest.mark.parametrize("task", ["bbox", "segm"])
@pytest.mark.parametrize("limit", [1, 10])
def test_limited_recall_is_that_of_the_best_of_each_class_in_each_image(
    task: str, limit: int
) -> None:
    rng = np.random.default_rng(limit)
    content = make_annotations(rng)
    results = [r for r in make_results(content, rng, per_image=200) if min(r["bbox"][2:]) > 0]
    best: list[Record] = []
    for pair in sorted({(r["image_id"], r["category_id"]) for r in results}):
        of_pair = [r for r in results if (r["image_id"], r["category_id"]) == pair]
        best += sorted(of_pair, key=lambda result: -result["score"])[:limit]
    assert len(best) < len(results)
    recall = lvis_evaluation(content, best, task, limit=300).results["AR@300"]
    scores = score_lvis(content, results, task)
    assert scores.metrics[f"AR@{limit}"] == pytest.approx(100 * recall, abs=1e-9)
    assert scores.metrics["AR@1"] < scores.metrics["AR@10"] <= scores.metrics["AR"]


@pytest.mark.usefixtures("lvis_with_todays_numpy")
def test_category_ids_can_be_any_integers() -> None:
    """Pairs of image and category stay apart if some ids are negative."""
    rng = np.random.default_rng(0)
    content = make_annotations(rng)
    results = make_results(content, rng, per_image=40)
    expected = score_lvis(content, results, "bbox")
    for record in (*content["annotations"], *results):
        record["category_id"] -= 10
    for image in content["images"]:
        for field in ("neg_category_ids", "not_exhaustive_category_ids"):
            image[field] = [i - 10 for i in image[field]]
    for category in content["categories"]:
        category["id"] -= 10
    scores = score_lvis(content, results, "bbox")
    assert scores.metrics == expected.metrics
    assert_equal_to_lvis(scores, lvis_evaluation(content, results, "bbox", 300))


def test_prediction_for_an_unknown_image_is_named() -> None:
    content = make_annotations(np.random.default_rng(0))
    result = {"image_id": 5, "category_id": 1, "score": 0.5, "bbox": [0, 0, 9, 9]}
    with pytest.raises(ValueError, match="image 5, which is not among the 12 images"):
        score_lvis(content, [result], "bbox")


@pytest.mark.parametrize("score", [math.nan, math.inf])
@pytest.mark.parametrize("judge", [score_lvis, score_lrp, analyze_errors, score_calibration])
def test_scores_that_are_not_finite_are_named(judge: Callable[..., Any], score: float) -> None:
    content = make_annotations(np.random.default_rng(0))
    result = {"image_id": 7, "category_id": 3, "score": score, "bbox": [0, 0, 9, 9]}
    with pytest.raises(ValueError, match=f"category 3 in image 7 has score {score}"):
        judge(content, [result], "bbox")


@pytest.mark.parametrize("limit", [0, -1, 2.5])
@pytest.mark.parametrize("judge", [score_lvis, score_lrp, analyze_errors, score_calibration])
def test_limits_that_let_nothing_count_are_named(judge: Callable[..., Any], limit: float) -> None:
    content = make_annotations(np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"max_dets_per_image is {limit}; give an integer of at"):
        judge(content, [], "bbox", max_dets_per_image=limit)


def test_unknown_task_is_named() -> None:
    content = make_annotations(np.random.default_rng(0))
    with pytest.raises(ValueError, match="task is 'mask'; give one of 'bbox', 'segm', 'boundary'"):
        score_lvis(content, [], "mask")
    with pytest.raises(ValueError, match="max_dets_per_class is 0"):
        score_lvis(content, [], "bbox", max_dets_per_class=0)


def square(start: int, stop: int, size: int = 200) -> Record:
    mask = np.zeros((size, size), np.uint8, order="F")
    mask[start:stop, start:stop] = 1
    return pycocotools.mask.encode(mask)


def test_annotations_without_categories_are_named() -> None:
    with pytest.raises(ValueError, match="lists no categories"):
        score_lvis({"images": [], "annotations": [], "categories": []}, [], "bbox")


def test_boundary_ap_looks_at_a_rim_of_the_masks() -> None:
    """2 % of the diagonal of 200 x 200 pixels are 6 pixels.

    Of squares of 60 and 58 pixels around the same center, the rims have 60^2 - 48^2 and 58^2 - 46^2
    pixels, 58^2 - 48^2 of them in common: an IoU of 0.71. That of the masks is 58^2 / 60^2 = 0.93.
    """
    truth, found = square(50, 110), square(51, 109)
    content = {
        "images": [{"id": 1, "height": 200, "width": 200}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "area": 3600, "segmentation": truth}
        ],
        "categories": [{"id": 1}],
    }
    result = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": found}
    for task, num_thresholds in (("boundary", 5), ("segm", 9)):
        metrics = score_lvis(content, [result], task).metrics
        assert metrics["AP"] == metrics["AR"] == pytest.approx(10 * num_thresholds)


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_coco_style_files_are_scored_as_pycocotools_does(task: str) -> None:
    rng = np.random.default_rng(5)
    content = make_annotations(rng)
    results = make_results(content, rng, per_image=40)
    for image in content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    for annotation in content["annotations"]:
        annotation["iscrowd"] = int(rng.random() < 0.2)
    for category in content["categories"]:
        del category["frequency"]
    truth = COCO()
    truth.dataset = copy.deepcopy(content)
    truth.createIndex()
    field = {"bbox": "bbox", "segm": "segmentation"}[task]
    kept = [{k: r[k] for k in ("image_id", "category_id", "score", field)} for r in results]
    expected = COCOeval(truth, truth.loadRes(copy.deepcopy(kept)), task)
    expected.params.maxDets = [1, 10, 300]
    expected.evaluate()
    expected.accumulate()
    scores = score_lvis(content, results, task)
    for name, values in [("AP", expected.eval["precision"]), ("AR", expected.eval["recall"])]:
        of_sizes = np.ma.masked_less(values[..., 2], 0)
        for index, size in enumerate(["", "s", "m", "l"]):
            reference = 100 * of_sizes[..., index].mean()
            assert scores.metrics[name + size] == pytest.approx(reference, abs=1e-9), name + size
    for index, limit in enumerate((1, 10)):
        reference = 100 * np.ma.masked_less(expected.eval["recall"][..., 0, index], 0).mean()
        assert scores.metrics[f"AR@{limit}"] == pytest.approx(reference, abs=1e-9)
    assert not any(name.endswith(("r", "c", "f")) for name in scores.metrics)
