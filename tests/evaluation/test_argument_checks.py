"""What can't be evaluated is named before any image is predicted."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from rankdet.evaluation import RankdetEvaluator

pytestmark = pytest.mark.usefixtures("lvis_datasets")


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("max_dets_per_image", None),
        *product(("max_dets_per_image", "max_dets_per_class"), (0, -1, 2.5, "300")),
    ],
)
def test_limits(name: str, limit: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is {limit!r}; give an integer of at least 1"):
        RankdetEvaluator("lvis_v1_val", **{name: limit})


@pytest.mark.parametrize("tasks", [(), "bbox", ["boxes"]])
def test_tasks(tasks: Any) -> None:
    with pytest.raises(ValueError) as error:
        RankdetEvaluator("lvis_v1_val", tasks)
    known = "give a list of some of 'bbox', 'segm', 'boundary'."
    assert str(error.value) == f"tasks is {tasks!r}; {known}"


@pytest.mark.parametrize("metrics", [(), "ap", ["ap", "mAP"]])
def test_metrics(metrics: Any) -> None:
    with pytest.raises(ValueError) as error:
        RankdetEvaluator("lvis_v1_val", metrics=metrics)
    assert str(error.value) == f"metrics is {metrics!r}; give a list of some of 'ap', 'lrp'."


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tasks": ("bbox", "boundary")}, r"tasks is \('bbox', 'boundary'\), of which 'boundary'"),
        ({"max_dets_per_class": 10_000}, "max_dets_per_class is 10000, which is for Fixed AP"),
    ],
)
def test_boundaries_and_fixed_ap_need_ap(options: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=rf"{problem}.*, but metrics is \['lrp'\]; add 'ap'"):
        RankdetEvaluator("lvis_v1_val", metrics=["lrp"], **options)


def test_output_folder_is_tried_before_the_inference(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    evaluator = RankdetEvaluator("lvis_v1_val", output_dir=str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"output_dir is '.*file', where nothing can be written"):
        evaluator.reset()
    RankdetEvaluator("lvis_v1_val", output_dir=str(tmp_path / "new")).reset()
    assert not list((tmp_path / "new").iterdir())
