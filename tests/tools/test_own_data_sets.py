"""A user's own data set, however it is registered, trains, is scored, and suits every tool."""

import json
import shutil

import pytest
import torch
from detectron2.config import LazyConfig
from detectron2.data import MetadataCatalog
from support.shapes_dataset import (
    CLASSES,
    forget,
    register_file,
    register_function,
    shapes,
    write_images,
)
from support.smoke_run import smoke_config

from rankdet.data.class_names import read_class_names
from rankdet.data.frequency_groups import Classes, read_classes
from rankdet.engine.training import train
from rankdet.tools import plot_confusion
from rankdet.tools.collect_confusion import write_statistics
from rankdet.tools.compare.runs import Run
from rankdet.tools.compare.table import write_comparison
from rankdet.tools.picture_detector import load_detector
from rankdet.tools.ranking_errors import write_ranking_errors
from rankdet.tools.report.analysis import read_test_set
from rankdet.tools.report.writer import write_report
from rankdet.tools.visualize import visualize

NAMES = ("shapes_train", "shapes_val")
TEST_FILE = "challenge_test"


def register_all(how, folder):
    """As a new process finds the catalogs: what loading the data has set is gone."""
    forget(*NAMES, TEST_FILE)
    for name in NAMES:
        how(name, shapes(), folder)
    content = shapes()
    del content["annotations"]
    register_file(TEST_FILE, content, folder)


@pytest.fixture(scope="module", params=[register_file, register_function])
def own_run(request, tmp_path_factory):
    """A run of two iterations, and what registers its data sets."""
    folder = tmp_path_factory.mktemp("own")
    write_images(shapes(), folder)
    register_all(request.param, folder)
    cfg = smoke_config(
        folder / "run",
        *(f"dataloader.{s}.dataset.names=shapes_{n}" for s, n in (("train",) * 2, ("test", "val"))),
        "model.roi_heads.num_classes=3",
        "train.max_iter=2",
        # An RPN that knows nothing needs many tries to find an object.
        "model.proposal_generator.nms_thresh=0.95",
    )
    (folder / "run").mkdir()
    LazyConfig.save(cfg, str(folder / "run" / "config.yaml"))
    torch.manual_seed(0)
    train(cfg)
    yield folder / "run", lambda: register_all(request.param, folder)
    forget(*NAMES, TEST_FILE)


# Of data sets by a function, reports and pictures need nothing else than what is tested alone.
by_file = pytest.mark.parametrize("own_run", [register_file], indirect=True)


@pytest.fixture
def run(own_run):
    """The folder of the run, in a process that has not read its data sets yet."""
    folder, register = own_run
    register()
    return folder


@pytest.fixture
def untested(run, tmp_path):
    """The same run, tested on the test file of a challenge, which has no annotations."""
    copy = shutil.copytree(run, tmp_path / "untested")
    config = copy / "config.yaml"
    text = config.read_text()
    assert "names: shapes_val" in text
    config.write_text(text.replace("names: shapes_val", f"names: {TEST_FILE}"))
    (copy / "results.json").write_text("{}\n")
    shutil.rmtree(copy / "analysis", ignore_errors=True)
    return copy


def test_boxes_and_masks_are_scored(run):
    results = json.loads((run / "results.json").read_text())
    assert list(results) == ["bbox", "bbox_lrp", "segm", "segm_lrp"]
    assert results["bbox"]["AP"] is not None
    assert (run / "inference" / "coco_instances_results.json").is_file()
    assert not (run / "inference" / "lvis_instances_results.json").exists()


def test_groups_and_test_set_of_pictures_and_reports(run):
    assert read_classes("shapes_val", ["shapes_train"]) == Classes(list(CLASSES), ["r"] * 3)
    content = read_test_set("shapes_val", ["shapes_train"]).content
    assert len(content["annotations"]) == 12
    assert {category["name"] for category in content["categories"]} == {*CLASSES}


def test_ranking_errors(run):
    analysis = json.loads(write_ranking_errors(run).read_text())
    assert [record["name"] for record in analysis["classes"]] == list(CLASSES)


def test_calibration_and_confusion(run, tmp_path):
    write_statistics(run)
    plot_confusion.draw([run], tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").is_file()


def test_comparison(run, tmp_path):
    one = Run(run / "config.yaml", (), 0, run, max_iter=2, device="cpu")
    assert one.is_finished()
    assert "AR@1" in write_comparison([one], tmp_path / "comparison.md")


@pytest.mark.usefixtures("no_plots")
@by_file
def test_report(run, tmp_path):
    write_report([run], tmp_path / "report.html", theory_images=0)
    page = (tmp_path / "report.html").read_text()
    assert "Not available" not in page
    assert all(name in page for name in CLASSES)


def test_detector_knows_the_names_of_the_classes(run):
    assert load_detector(str(run)).metadata.thing_classes == list(CLASSES)


def test_names_are_those_that_detectron2_sets_later(run):
    names = read_class_names("shapes_val")
    assert names == list(CLASSES)
    assert read_class_names(TEST_FILE) == list(CLASSES)
    if MetadataCatalog.get("shapes_val").get("json_file"):
        assert MetadataCatalog.get("shapes_val").get("thing_classes") is None


@pytest.mark.usefixtures("no_plots")
@by_file
def test_run_without_metrics_is_reported_and_compared(untested, tmp_path):
    one = Run(untested / "config.yaml", (), 0, untested, max_iter=2, device="cpu")
    text = write_comparison([one], tmp_path / "comparison.md")
    assert "No run has metrics: the data set that they were tested on has no annotations" in text
    write_report([untested], tmp_path / "report.html", theory_images=1)
    page = (tmp_path / "report.html").read_text()
    assert "No run has metrics: results.json is empty" in page
    assert page.count(f"{TEST_FILE}&#39; has no annotations") == 2
    with pytest.raises(ValueError, match="'challenge_test' has no annotated image to draw"):
        visualize(untested)
