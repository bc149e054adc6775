"""What a fix brings equals the LVIS metrics of detections that were really edited."""

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from support.overlapping_objects import random_content, random_results

from rankdet.evaluation.error_analysis import ErrorAnalysis, analyze_errors
from rankdet.evaluation.error_kinds import ERRORS, DetectionKind
from rankdet.evaluation.lvis_scoring import score_lvis

Record = dict[str, Any]
LIMIT = 30
CASES = [("bbox", True, 0), ("bbox", False, 1), ("segm", True, 2), ("segm", False, 5)]
"""Task, whether annotations are federated, and seed."""


def make(seed: int, federated: bool) -> tuple[Record, list[Record]]:
    rng = np.random.default_rng(seed)
    content = random_content(rng, federated=federated)
    return content, random_results(content, rng)


def edited(
    content: Record, results: list[Record], analysis: ErrorAnalysis, is_fixed: np.ndarray
) -> list[Record]:
    """Detections with the fixed errors moved to their objects or deleted, one by one."""
    results = copy.deepcopy(results)
    finders: dict[int, list[int]] = {}
    deleted = set(np.flatnonzero(analysis.detection_kinds == DetectionKind.NOT_JUDGED).tolist())
    for i, (kind, target) in enumerate(
        zip(analysis.detection_kinds, analysis.detection_objects.tolist(), strict=True)
    ):
        if is_fixed[i] and kind in (DetectionKind.CLASSIFICATION, DetectionKind.LOCALIZATION):
            annotation = content["annotations"][target]
            results[i] |= {key: annotation[key] for key in ("category_id", "bbox", "segmentation")}
            finders.setdefault(target, []).append(i)
        elif is_fixed[i]:
            deleted.add(i)
        elif kind == DetectionKind.TRUE_POSITIVE:
            finders.setdefault(target, []).append(i)
    for rivals in finders.values():
        deleted.update(sorted(rivals, key=lambda i: (-results[i]["score"], i))[1:])
    return [result for i, result in enumerate(results) if i not in deleted]


def without(content: Record, missed: list[int]) -> Record:
    """The annotations but some; their classes stay judged in their images."""
    content = copy.deepcopy(content)
    images = {image["id"]: image for image in content["images"]}
    for i in sorted(missed, reverse=True):
        annotation = content["annotations"].pop(i)
        judged = images[annotation["image_id"]].get("neg_category_ids", [])
        judged.append(annotation["category_id"])
    return content


def ap50(content: Record, results: list[Record], task: str, category_id: int) -> float:
    category = [c for c in content["categories"] if c["id"] == category_id]
    return score_lvis(
        {**content, "categories": category}
        | {"annotations": [a for a in content["annotations"] if a["category_id"] == category_id]},
        [result for result in results if result["category_id"] == category_id],
        task,
        max_dets_per_image=None,
    ).metrics["AP50"]


def annotated(content: Record, group: str = "all") -> list[int]:
    """The classes of a group that have objects."""
    present = {a["category_id"] for a in content["annotations"] if not a["iscrowd"]}
    members = [c for c in content["categories"] if group in ("all", c["frequency"])]
    return [category["id"] for category in members if category["id"] in present]


def mean_ap50(content: Record, results: list[Record], task: str, classes: list[int]) -> float:
    """Mean over some classes, of which one without objects has 100; nan: no classes."""
    if not classes:
        return math.nan
    aps = [ap50(content, results, task, category_id) for category_id in classes]
    return float(np.mean([100 if math.isnan(ap) else ap for ap in aps]))


@pytest.mark.parametrize(("task", "federated", "seed"), CASES)
def test_ap_is_that_of_the_metrics(task: str, federated: bool, seed: int) -> None:
    content, results = make(seed, federated)
    analysis = analyze_errors(content, results, task, max_dets_per_image=LIMIT)
    metrics = score_lvis(content, results, task, max_dets_per_image=LIMIT).metrics
    assert 5 < metrics["AP50"] < 90
    assert analysis.groups["all"].ap50 == pytest.approx(metrics["AP50"], abs=1e-9)


@pytest.mark.parametrize(("task", "federated", "seed"), CASES)
def test_lost_ap_is_what_editing_brings(task: str, federated: bool, seed: int) -> None:
    content, results = make(seed, federated)
    analysis = analyze_errors(content, results, task, max_dets_per_image=LIMIT)
    for kind in ERRORS:
        fixed_results = edited(content, results, analysis, analysis.detection_kinds == kind)
        missed = analysis.missed_objects.tolist() if kind == DetectionKind.MISS else []
        for name, group in analysis.groups.items():
            classes = annotated(content, name)
            fixed = mean_ap50(without(content, missed), fixed_results, task, classes)
            points = group.lost[kind.name.lower()]
            assert points == pytest.approx(fixed - group.ap50, abs=1e-9, nan_ok=True), (kind, name)
    assert all(points > 0 for points in analysis.groups["all"].lost.values())


@pytest.mark.parametrize(("task", "federated", "seed"), CASES)
def test_without_any_error_ap_is_100(task: str, federated: bool, seed: int) -> None:
    content, results = make(seed, federated)
    analysis = analyze_errors(content, results, task, max_dets_per_image=LIMIT)
    fixed_results = edited(content, results, analysis, np.isin(analysis.detection_kinds, ERRORS))
    fixed_content = without(content, analysis.missed_objects.tolist())
    fixed = mean_ap50(fixed_content, fixed_results, task, annotated(content))
    assert fixed == pytest.approx(100)


@pytest.mark.parametrize(("task", "federated", "seed"), CASES)
def test_cost_of_confusions_is_what_editing_brings(task: str, federated: bool, seed: int) -> None:
    content, results = make(seed, federated)
    analysis = analyze_errors(content, results, task, max_dets_per_image=LIMIT)
    classes = np.array([a["category_id"] for a in content["annotations"]])
    predicted = np.array([result["category_id"] for result in results])
    is_wrong = analysis.detection_kinds == DetectionKind.CLASSIFICATION
    assert sum(pair.num_detections for pair in analysis.confusions) == is_wrong.sum()
    for pair in analysis.confusions:
        is_fixed = is_wrong & (classes[analysis.detection_objects] == pair.true_id)
        is_fixed &= predicted == pair.predicted_id
        assert pair.num_detections == is_fixed.sum()
        fixed_results = edited(content, results, analysis, is_fixed)
        fixed = mean_ap50(content, fixed_results, task, annotated(content))
        assert pair.cost == pytest.approx(fixed - analysis.groups["all"].ap50, abs=1e-9)
    costs = [pair.cost for pair in analysis.confusions]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 0


def test_only_detections_that_are_about_an_object_name_one() -> None:
    content, results = make(0, federated=True)
    analysis = analyze_errors(content, results, "bbox", max_dets_per_image=LIMIT)
    without_object = (DetectionKind.BACKGROUND, DetectionKind.IGNORED, DetectionKind.NOT_JUDGED)
    assert {*without_object} <= {*analysis.detection_kinds.tolist()}
    np.testing.assert_array_equal(
        analysis.detection_objects == -1, np.isin(analysis.detection_kinds, without_object)
    )


def test_without_detections_everything_is_missed() -> None:
    content, _ = make(0, federated=True)
    analysis = analyze_errors(content, [], "bbox")
    group = analysis.groups["all"]
    assert group.ap50 == 0
    assert group.lost == {kind.name.lower(): 100 * (kind == DetectionKind.MISS) for kind in ERRORS}
    assert group.num_errors["miss"] == len(content["annotations"]) == len(analysis.missed_objects)
    assert analysis.confusions == []


@pytest.mark.parametrize("federated", [True, False])
def test_classes_that_are_not_listed_are_left_out(federated: bool) -> None:
    content, results = make(0, federated)
    content["categories"] = content["categories"][1:4]
    known = {category["id"] for category in content["categories"]}
    analysis = analyze_errors(content, results, "bbox", max_dets_per_image=LIMIT)
    metrics = score_lvis(content, results, "bbox", max_dets_per_image=LIMIT).metrics
    assert analysis.groups["all"].ap50 == pytest.approx(metrics["AP50"], abs=1e-9)
    annotations = {
        **content,
        "annotations": [a for a in content["annotations"] if a["category_id"] in known],
    }
    alone = analyze_errors(annotations, results, "bbox", max_dets_per_image=LIMIT)
    assert analysis.to_json() == alone.to_json()
    assert {*known} >= {c for pair in analysis.confusions for c in pair[:2]} > set()


def test_json_names_classes_and_has_no_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankdet.evaluation.error_analysis.MAX_CONFUSIONS", 3)
    content, results = make(0, federated=True)
    for category in content["categories"]:
        category.update(name=f"class {category['id']}", frequency="f")
    figures = analyze_errors(content, results, "bbox").to_json()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["groups"]["r"]["ap50"] is None
    assert figures["groups"]["f"] == figures["groups"]["all"]
    assert len(figures["confusions"]) == 3
    worst = figures["confusions"][0]
    assert worst["true_name"] == f"class {worst['true_id']}"
    assert worst["predicted_name"] == f"class {worst['predicted_id']}"


def test_categories_without_frequency_are_one_group() -> None:
    content, results = make(1, federated=False)
    with_frequency = analyze_errors(content, results, "bbox").groups["all"]
    content["categories"] = [{"id": category["id"]} for category in content["categories"]]
    assert analyze_errors(content, results, "bbox").groups == {"all": with_frequency}
