import pytest
from support.finished_run import write_run

from rankdet.tools.report import classes, errors, metrics, plots
from rankdet.tools.report.methods import Spread, group_methods, missing_tasks, with_runs
from rankdet.tools.report.reported_run import read_run

BOTH = {"bbox": {"AP": 1.0, "APr": 1.0}, "segm": {"AP": 2.0, "APr": 2.0}}
BOXES = {"bbox": BOTH["bbox"]}


@pytest.fixture(scope="module")
def methods(tmp_path_factory):
    """Of boxes; of two seeds, one without masks; and of both."""
    made = [("boxes", 0, 0.1, BOXES), ("half/seed0", 0, 0.2, BOTH), ("half/seed1", 1, 0.2, BOXES)]
    made.append(("both", 0, 0.3, BOTH))
    root = tmp_path_factory.mktemp("runs")
    folders = [
        write_run(root / name, seed, [f"optimizer.lr={lr}"], results, [])
        for name, seed, lr, results in made
    ]
    return group_methods([read_run(folder) for folder in folders])


def test_methods_keep_their_color_and_the_runs_that_have_the_task(methods):
    folders = {run.folder for m in methods for run in m.runs if "segm" in run.results}
    shown = with_runs(methods, folders)
    assert [(m.name, m.index, [run.seed for run in m.runs]) for m in shown] == [
        ("half", 1, [0]),
        ("both", 2, [0]),
    ]


def test_runs_without_a_task_are_named(methods):
    (sentence,) = missing_tasks(methods)
    assert sentence.startswith("Masks are missing of boxes, seed 0; half, seed 1: results.json has")
    assert missing_tasks(methods[2:]) == missing_tasks(methods[:1]) == []


def test_runs_without_any_task_are_named(tmp_path):
    run = read_run(write_run(tmp_path / "run", results={}, predictions=[]))
    assert missing_tasks(group_methods([run])) == [
        "No run has boxes or masks in results.json; the evaluation writes it."
    ]


def test_bars_of_the_methods_that_are_shown_stand_around_their_label(methods, monkeypatch):
    places = []
    monkeypatch.setattr(errors, "_bar", lambda axes, place, *_: places.append(place))
    monkeypatch.setattr(
        metrics, "bars", lambda axes, places_of_one, *_: places.extend(places_of_one)
    )
    with plots.style():
        lost = {method.index: {"miss": Spread(1.0, float("nan"), 1)} for method in methods[1:]}
        errors._panel(methods[1:], lost, 1.0, "errors")
        assert sum(places) == pytest.approx(0) and len(set(places)) == 2
        places.clear()
        metrics._group_bars(methods, "segm")
    assert sum(places) == pytest.approx(2 * 0 + 2 * 1), "of all, and of rare classes"


def test_classes_without_any_ap_have_a_picture_without_a_warning(methods):
    rows = [classes.ClassRow("T", "rare", 5, [Spread(0.0, float("nan"), 1)] * len(methods))]
    with plots.style():
        classes._panel(methods[:1], rows, "classes")
