"""For masks, an object without one is a crowd of its box, in every judgement and in its place."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.overlapping_objects import random_content, random_results

from rankdet.evaluation.annotations import judged_annotations
from rankdet.evaluation.error_analysis import analyze_errors
from rankdet.evaluation.lrp_scoring import score_lrp
from rankdet.evaluation.lvis_scoring import score_lvis
from rankdet.evaluation.reliability import score_calibration

Record = dict[str, Any]


def content_without_mask(mask: Any = None, *, federated: bool = True) -> Record:
    content = random_content(np.random.default_rng(0), federated=federated)
    content["annotations"][3].update(id=33, segmentation=mask)
    return content


@pytest.mark.parametrize("mask", [None, []])
def test_object_without_a_mask_is_a_crowd_of_its_box(mask: Any) -> None:
    content = content_without_mask(mask)
    given = copy.deepcopy(content)
    judged = judged_annotations(content, "segm")
    assert content == given
    assert judged_annotations(content, "bbox") is content["annotations"]
    x, y, w, h = content["annotations"][3]["bbox"]
    corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    assert judged[3] == {**given["annotations"][3], "iscrowd": 1, "segmentation": corners}
    assert judged[:3] + judged[4:] == given["annotations"][:3] + given["annotations"][4:]


@pytest.mark.parametrize("federated", [True, False])
@pytest.mark.parametrize("judge", [score_lvis, score_lrp, analyze_errors, score_calibration])
def test_is_what_a_crowd_with_that_mask_would_be(
    judge: Callable[..., Any], federated: bool
) -> None:
    content = content_without_mask(federated=federated)
    results = random_results(content, np.random.default_rng(1))
    crowd = {**content, "annotations": judged_annotations(content, "segm")}
    assert repr(judge(content, results, "segm")) == repr(judge(crowd, results, "segm"))
    boxes = judge(content, results, "bbox")
    assert repr(boxes) != repr(judge(crowd, results, "bbox")), "there it is an object"


@pytest.mark.parametrize("judge", [score_lvis, score_lrp, analyze_errors, score_calibration])
def test_without_any_mask_there_is_nothing_to_judge_by(judge: Callable[..., Any]) -> None:
    content = random_content(np.random.default_rng(0), federated=False)
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    with pytest.raises(ValueError, match="Annotation 0 has no 'segmentation'"):
        judge(content, [], "segm")


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("images", "neg_category_ids"),
        ("images", "not_exhaustive_category_ids"),
        ("annotations", "area"),
        ("categories", "frequency"),
    ],
)
def test_missing_field_of_lvis_is_named(kind: str, field: str) -> None:
    content = random_content(np.random.default_rng(0), federated=True)
    del content[kind][2][field]
    with pytest.raises(ValueError, match=f"of the {kind} has no '{field}'"):
        score_lvis(content, [], "bbox")
