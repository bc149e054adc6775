"""Reliability and expected calibration error equal a slow loop over the judged detections."""

import json
from typing import Any

import numpy as np
import pytest
from support.overlapping_objects import random_content, random_results

from rankdet.evaluation.error_analysis import analyze_errors
from rankdet.evaluation.error_kinds import DetectionKind
from rankdet.evaluation.reliability import score_calibration

Record = dict[str, Any]
LIMIT = 30
"""Of the 40 detections of an image, so many count."""


def make(federated: bool = True) -> tuple[Record, list[Record]]:
    rng = np.random.default_rng(3)
    content = random_content(rng, federated=federated)
    return content, random_results(content, rng)


def slow_bins(
    content: Record, results: list[Record], task: str, group: str, num_bins: int
) -> list[list[tuple[float, bool]]]:
    frequency = {category["id"]: category["frequency"] for category in content["categories"]}
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(num_bins)]
    kinds = analyze_errors(content, results, task, max_dets_per_image=LIMIT).detection_kinds
    for kind, result in zip(kinds, results, strict=True):
        in_group = group in ("all", frequency[result["category_id"]])
        if in_group and kind not in (DetectionKind.IGNORED, DetectionKind.NOT_JUDGED):
            number = min(int(result["score"] * num_bins), num_bins - 1)
            bins[number].append((result["score"], kind == DetectionKind.TRUE_POSITIVE))
    return bins


@pytest.mark.parametrize("federated", [True, False])
@pytest.mark.parametrize("group", ["all", "r", "c", "f"])
@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_equals_a_slow_loop(federated: bool, group: str, task: str) -> None:
    content, results = make(federated)
    for result in results:
        # Scores off the edges, where rounding decides.
        result["score"] = 0.93 * result["score"] + 0.003
        if task == "segm":
            result["bbox"] = [0, 0, 1, 1]
    found = score_calibration(content, results, task, num_bins=8, max_dets_per_image=LIMIT)
    assert found["bin_edges"] == [i / 8 for i in range(9)]
    error = 0.0
    bins = slow_bins(content, results, task, group, 8)
    for i, members in enumerate(bins):
        of_group = found["groups"][group]
        assert of_group["count"][i] == len(members)
        if not members:
            assert of_group["mean_score"][i] is None
            assert of_group["precision"][i] is None
            continue
        mean_score = sum(score for score, _ in members) / len(members)
        precision = sum(is_right for _, is_right in members) / len(members)
        assert of_group["mean_score"][i] == pytest.approx(mean_score, abs=1e-12)
        assert of_group["precision"][i] == pytest.approx(precision, abs=1e-12)
        error += len(members) * abs(precision - mean_score)
    assert of_group["ece"] == pytest.approx(error / sum(map(len, bins)), abs=1e-12)
    assert of_group["ece"] > 0


def test_scores_equal_to_precision_have_no_error() -> None:
    """One of four detections of each score is right."""
    content, _ = make()
    annotation = content["annotations"][0]
    image_id, category_id = annotation["image_id"], annotation["category_id"]
    content["images"] = [image for image in content["images"] if image["id"] == image_id]
    content["images"][0]["not_exhaustive_category_ids"] = []
    content["annotations"] = [annotation]
    boxes = [annotation["bbox"], [0, 0, 4, 4], [0, 0, 5, 5], [0, 0, 6, 6]]
    results = [
        {"image_id": image_id, "category_id": category_id, "score": 0.25, "bbox": box}
        for box in boxes
    ]
    found = score_calibration(content, results, "bbox")["groups"]["all"]
    assert found["ece"] == 0
    assert found["count"] == [0, 0, 4, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(("score", "number"), [(0.0, 0), (0.25, 1), (0.75, 3), (1.0, 3)])
def test_bins_hold_their_lower_edge_and_the_last_one_its_upper_one(
    score: float, number: int
) -> None:
    content, results = make()
    for result in results:
        result["score"] = score
    found = score_calibration(content, results, "bbox", 4)["groups"]["all"]
    assert [i for i, num in enumerate(found["count"]) if num] == [number]


def test_without_detections_everything_is_undefined() -> None:
    found = score_calibration(make()[0], [], "bbox", 2)
    empty = {"ece": None, "count": [0, 0], "mean_score": [None] * 2, "precision": [None] * 2}
    assert found["groups"] == dict.fromkeys(["all", "r", "c", "f"], empty)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("score", [-0.1, 1.5])
def test_score_that_is_no_probability_is_named(score: float) -> None:
    content, results = make(federated=False)
    results[0]["score"] = score
    with pytest.raises(ValueError, match="only probabilities"):
        score_calibration(content, results, "bbox", max_dets_per_image=None)


def test_number_of_bins_is_checked() -> None:
    with pytest.raises(ValueError, match="num_bins is 0; give at least 1"):
        score_calibration(make()[0], [], "bbox", 0)
