import json
import os
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import LazyCall as L
from detectron2.evaluation import COCOEvaluator
from support.finished_run import DATASET, make_predictions, write_run

from rankdet.tools import analysis_file
from rankdet.tools.report import analysis
from rankdet.tools.report.analysis import Analysis, read_test_set
from rankdet.tools.report.gallery import NUM_EXAMPLES, square
from rankdet.tools.report.reported_run import read_run


@pytest.fixture(scope="module")
def test_set():
    return read_test_set(DATASET, ["glyphs_smoke_train"])


@pytest.fixture
def folder(tmp_path):
    """A run to change."""
    return write_run(tmp_path / "run")


def predictions_of(folder):
    return folder / "inference" / "lvis_instances_results.json"


def test_kept_files_are_used_until_detections_or_rankdet_change(folder, test_set, monkeypatch):
    calls = []

    def analyze_errors(*arguments, **options):
        calls.append(options)
        return original(*arguments, **options)

    original = analysis.analyze_errors
    monkeypatch.setattr(analysis, "analyze_errors", analyze_errors)
    for _ in range(2):
        path = Analysis(read_run(folder), test_set).errors_path("bbox")
    assert path == folder / "analysis" / "errors_bbox.json"
    assert calls == [{"max_dets_per_image": 300}], "as the evaluator of the config"
    predictions_of(folder).write_text(json.dumps(make_predictions(seed=5)))
    future = path.stat().st_mtime + 10
    os.utime(predictions_of(folder), (future, future))
    Analysis(read_run(folder), test_set).errors_path("bbox")
    assert len(calls) == 2
    os.utime(path, (future, future))
    monkeypatch.setattr(analysis_file, "ANALYSIS_VERSION", analysis_file.ANALYSIS_VERSION + 1)
    Analysis(read_run(folder), test_set).errors_path("bbox")
    assert len(calls) == 3


def test_scores_of_classes_are_the_evaluations_where_it_left_them(folder, test_set):
    computed = Analysis(read_run(folder), test_set).class_scores_path()
    scores = json.loads(computed.read_text())["bbox"]
    category = test_set.content["categories"][0]
    assert scores[str(category["id"])]["name"] == category["name"] and len(scores) == 10
    left = folder / "inference" / "class_scores.json"
    left.write_text("{}")
    assert Analysis(read_run(folder), test_set).class_scores_path() == left


def test_detections_are_needed_only_for_what_is_not_kept(folder, test_set):
    kept = Analysis(read_run(folder), test_set).errors_path("bbox")
    predictions_of(folder).unlink()
    assert Analysis(read_run(folder), test_set).errors_path("bbox") == kept
    with pytest.raises(FileNotFoundError, match="has none of lvis_instances_results"):
        Analysis(read_run(folder), test_set).calibration_path("bbox")


def test_files_of_rankdet_and_of_detectron2_are_read(folder):
    path = predictions_of(folder)
    detections = json.loads(path.read_text())
    table = read_run(folder).read_predictions()  # All in one line, as Detectron2 writes them.
    assert list(table) == detections
    with path.open("w") as file:
        table.write(file)
    assert path.read_text().count("\n") > len(detections)
    assert list(read_run(folder).read_predictions()) == detections


def test_newest_file_of_detections_counts(folder):
    """An earlier rankdet wrote detections on any data set to the file of LVIS."""
    old = predictions_of(folder)
    new = old.with_name("coco_instances_results.json")
    new.write_text("[]")
    for newest, other in ((old, new), (new, old)):
        os.utime(other, (1, 1))
        os.utime(newest, (2, 2))
        assert read_run(folder).predictions == newest


@pytest.mark.parametrize("is_by_line", [False, True])
def test_damaged_files_are_named(folder, is_by_line):
    path = predictions_of(folder)
    if is_by_line:
        table = read_run(folder).read_predictions()
        with path.open("w") as file:
            table.write(file)
    content = path.read_text()
    middle = content.index("\n", len(content) // 2) if is_by_line else len(content) // 2
    for damaged in (content[:middle], content[: middle + 9], '[{"image_id": 1}]'):
        path.write_text(damaged)
        with pytest.raises(ValueError, match=r"results\.json is no list .*evaluate again"):
            read_run(folder).read_predictions()


def test_examples_are_of_their_kind_and_varied(folder, test_set):
    path = Analysis(read_run(folder), test_set).examples_path()
    examples = json.loads(path.read_text())
    del examples["made_of"]
    assert examples.keys() == {"found", "confused", "missed"}
    assert all(one["object_name"] == one["detection_name"] for one in examples["found"])
    assert all(one["object_name"] != one["detection_name"] for one in examples["confused"])
    assert all("score" not in one for one in examples["missed"])
    for of_kind in examples.values():
        for group in {one["group"] for one in of_kind}:
            chosen = [one for one in of_kind if one["group"] == group]
            assert 0 < len(chosen) <= NUM_EXAMPLES
    frequent = [one["object_name"] for one in examples["found"] if one["group"] == "f"]
    num_frequent = sum(c["frequency"] == "f" for c in test_set.content["categories"])
    assert len(set(frequent)) == min(len(frequent), num_frequent)
    scores = [one["score"] for one in examples["confused"] if one["group"] == "f"]
    assert scores[0] == max(scores)


def test_what_counts_is_said_where_the_evaluator_counts_something_else(folder, test_set):
    run = read_run(folder)
    common = "detections of an image, all classes together"
    assert Analysis(run, test_set).note == f"Counted are the 300 best {common}."
    run.config.dataloader.evaluator = L(COCOEvaluator)(dataset_name=DATASET)
    note = Analysis(run, test_set).note
    assert (
        note.startswith(f"Counted are the 300 best {common}; ")
        and "which counts 100 of each" in note
    )
    run.config.dataloader.evaluator.max_dets_per_image = 50
    note = Analysis(run, test_set).note
    assert (
        note.startswith(f"Counted are the 50 best {common}; ") and "which counts 50 of each" in note
    )


def test_every_image_has_a_file(test_set):
    files = test_set.image_files
    assert files.keys() == {image["id"] for image in test_set.content["images"]}
    assert all(Path(path).is_file() for path in files.values())


@pytest.mark.parametrize(
    ("corners", "area"),
    [
        ([5, 5, 25, 35], (0, 0, 60)),  # At the corner of the image.
        ([180, 20, 195, 40], (160, 10, 40)),  # Small, at its right edge.
        ([10, 30, 110, 70], (0, -50, 200)),  # Wider than the image is high.
    ],
)
def test_crop_lies_in_the_image_where_it_can(corners, area):
    assert square(np.array([corners], dtype=float), (200, 100)) == area
