"""Odd files in the folder of a run: one sentence, or a page that says what it leaves out."""

import json
import os
import shutil

import pytest
from bad_input.case import Case, table
from detectron2.config import LazyConfig
from omegaconf import OmegaConf
from support.finished_run import write_run

from rankdet.tools.json_file import read_json
from rankdet.tools.ranking_errors import RANKING_ERRORS
from rankdet.tools.report import analysis, sections
from rankdet.tools.report.__main__ import main
from rankdet.tools.report.analysis import CALIBRATION, CLASS_SCORES, ERRORS, EXAMPLES
from rankdet.tools.report.reported_run import read_run
from rankdet.tools.run_folder import load_run_config, read_metrics, read_results

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def run(template, tmp_path):
    return shutil.copytree(template, tmp_path / "run")


def put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


OTHER = r"results\.json is not what rankdet writes \("
RESULTS_CASES = [
    Case("list", "[1, 2]", rf"{OTHER}all of it is '\[1, 2\]'\); delete it"),
    Case("number", "5", rf"{OTHER}all of it is '5'"),
    Case("text", '"bbox"', rf"{OTHER}all of it is 'bbox'"),
    Case("null", "null", rf"{OTHER}all of it is 'None'"),
    Case("task that is a number", '{"bbox": 3}', rf"{OTHER}\['bbox'\] is '3'"),
    Case("metric that is text", '{"bbox": {"AP": "3"}}', rf"{OTHER}\['bbox'\]\['AP'\] is '3'"),
    Case("metric that is true", '{"bbox": {"AP": true}}', rf"{OTHER}\['bbox'\]\['AP'\] is 'True'"),
    Case("nested deeper", '{"bbox": {"AP": {"a": 1}}}', rf"{OTHER}\['bbox'\]\['AP'\] is"),
    Case("empty file", "", r"results\.json is no JSON \(Expecting value"),
    Case("binary", b"\x89PNG\xff\xfe", r"results\.json is no JSON \('utf-8' codec"),
    Case("cut short", '{"bbox": {"AP": 1', r"results\.json is no JSON"),
    Case("nested without end", "[" * 100_000, r"results\.json is no JSON"),
    Case("number of 5000 digits", '{"bbox": {"AP": %s}}' % ("1" * 5000), "is no JSON"),
    Case("NaN", '{"bbox": {"AP": NaN}}', meaning="undefined"),
    Case("infinite", '{"bbox": {"AP": -Infinity}}', meaning="undefined"),
    Case("too large", '{"bbox": {"AP": 1e999}}', meaning="undefined"),
    Case("too large a whole number", '{"bbox": {"AP": 1%s}}' % ("0" * 400), meaning="undefined"),
    Case("null for a value", '{"bbox": {"AP": null}}', meaning="undefined"),
]


@table(RESULTS_CASES)
def test_results(tmp_path, case):
    put(tmp_path / "results.json", case.bad)
    if case.meaning:
        assert read_results(tmp_path) == {"bbox": {"AP": None}}, case.meaning
        return
    with pytest.raises(ValueError, match=case.sentence):
        read_results(tmp_path)


GOOD = '{"iteration": 3, "loss": 1.5}\n'
METRICS_CASES = [
    Case("list", "[1, 2]", "Line 1 of"),
    Case("number", "5", "Line 1 of"),
    Case("no iteration", '{"loss": 2}', "Line 1 of"),
    Case("iteration that is text", '{"iteration": "4", "loss": 2}', "Line 1 of"),
    Case("iteration that is a fraction", '{"iteration": 4.5, "loss": 2}', "Line 1 of"),
    Case("iteration below 0", '{"iteration": -1, "loss": 2}', "Line 1 of"),
    Case("huge iteration", '{"iteration": 1%s}' % ("0" * 30), "Line 1 of"),
    Case("binary", b"\x00\xff\xfe", "Line 1 of"),
    Case("nested without end", "[" * 100_000, "Line 1 of"),
    Case("value that is text", '{"iteration": 1, "loss": "a"}', meaning="it is no number"),
    Case("value that is a list", '{"iteration": 1, "loss": [1]}', meaning="it is no number"),
    Case("huge value", '{"iteration": 1, "loss": 1e300}', meaning="it can't be drawn"),
    Case("infinite value", '{"iteration": 1, "loss": Infinity}', meaning="it can't be drawn"),
]  # fmt: skip


@table(METRICS_CASES)
def test_metrics(tmp_path, caplog, case):
    bad = case.bad if isinstance(case.bad, bytes) else case.bad.encode()
    put(tmp_path / "metrics.json", bad + b"\n" + GOOD.encode())
    records = read_metrics(tmp_path)
    assert records[-1] == {"iteration": 3, "loss": 1.5}
    assert records[:-1] == ([{"iteration": 1}] if case.meaning else []), case.meaning
    assert (case.sentence or "") in caplog.text


CONFIG_CASES = [
    Case(
        "no data set to test on",
        "dataloader.test.dataset.names",
        "test.dataset.names is None; give",
    ),
    Case("no training set", "dataloader.train.dataset.names", "train.dataset.names is None; give"),
    Case(
        "no length", "train.max_iter", r"config.yaml: train.max_iter is None; give a whole number"
    ),
    Case("no device", "train.device", "train.device is None; give cpu, cuda or cuda:N"),
    Case("no mapper", "dataloader.test.mapper", "dataloader.test.mapper is None; give a part"),
    Case("no names", {"dataloader.test.dataset.names": []}, r"names is \[\]; give the name of a"),
    Case("names that are numbers", {"dataloader.test.dataset.names": [1]}, r"names is \[1\]; give"),
    Case("length that is text", {"train.max_iter": "x"}, "train.max_iter is 'x'; give a whole"),
    Case("names that are a number", {"dataloader.test.dataset.names": 3}, "names is 3; give the"),
    Case("reference to nothing", ("device: cpu", "device: ${nowhere}"), "device can't be resolved"),
]


@table(CONFIG_CASES)
def test_config_of_a_run(run, case):
    if isinstance(case.bad, tuple):  # LazyConfig does not save such a one.
        put(run / "config.yaml", (run / "config.yaml").read_text().replace(*case.bad))
    else:
        cfg = load_run_config(run / "config.yaml")
        for key, value in (case.bad if isinstance(case.bad, dict) else {case.bad: None}).items():
            OmegaConf.update(cfg, key, value, merge=False)
        LazyConfig.save(cfg, str(run / "config.yaml"))
    for read in (lambda: read_run(run), lambda: load_run_config(run / "config.yaml")):
        with pytest.raises(ValueError, match=case.sentence):
            read()


LOG = "rankdet.engine.provenance INFO: Provenance: "
LOG_CASES = [
    Case("binary", b"\x00\xff" * 50, meaning="it says nothing"),
    Case("cut short", LOG + '{"version": "1"', meaning="it says nothing"),
    Case("no JSON", LOG + "{version}", meaning="it says nothing"),
    Case("parts missing", LOG + '{"version": "1"}', meaning="it says nothing"),
    Case("time that is none", LOG + '{"started": "yesterday"}', meaning="it says nothing"),
    Case("markup for a number", LOG + json.dumps({"num_cpus": SCRIPT}), meaning="it says nothing"),
]


@table(LOG_CASES)
def test_log(run, case):
    put(run / "log.txt", case.bad)
    assert read_run(run).provenance == {}, case.meaning


ODD = r"results\.json is no list of detections, or damaged \("
PREDICTION_CASES = [
    Case("number", "5", ODD),
    Case("object", '{"a": 1}', ODD),
    Case("null", "null", ODD),
    Case("list of numbers", "[1, 2]", ODD),
    Case("list of lists", "[[1]]", ODD),
    Case("without keys", "[{}]", ODD),
    Case("box that is text", '[{"image_id": 1, "category_id": 1, "bbox": "a", "score": 1}]', ODD),
    Case("score that is text", '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], '
         '"score": "a"}]', ODD),
    Case("binary", b"\xff\xfe\x00", ODD),
    Case("empty file", "", ODD),
    Case("nested without end", "[" * 100_000, ODD),
    Case("huge category", '[{"image_id": 1, "category_id": 1%s, "bbox": [1, 2, 3, 4], '
         '"score": 1}]' % ("0" * 30), ODD),
    Case("end missing", '[\n{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1},',
         ODD),
]  # fmt: skip


@table(PREDICTION_CASES)
def test_predictions(run, case):
    put(run / "inference" / "lvis_instances_results.json", case.bad)
    with pytest.raises(ValueError, match=case.sentence):
        read_run(run).read_predictions()


ANALYSIS_CASES = [
    Case("class scores: task is a list", (CLASS_SCORES, {"bbox": []}), r"\['bbox'\] is '\[\]'"),
    Case("class scores: no name", (CLASS_SCORES, {"bbox": {"1": {}}}), r"\['name'\] is 'None'"),
    Case(
        "class scores: AP is text",
        (CLASS_SCORES, {"bbox": {"1": {"name": "a", "AP": "b"}}}),
        r"\['bbox'\]\['1'\]\['AP'\] is 'b'",
    ),
    Case("errors: no groups", (ERRORS, {"confusions": []}), r"\['groups'\] is 'None'"),
    Case("errors: lost is a number", (ERRORS, {"groups": {"all": {"lost": 3}}}), r"\['lost'\]"),
    Case("errors: confusions", (ERRORS, {"groups": {}, "confusions": [1]}), r"\['confusions'\]\[0"),
    Case("calibration: bins", (CALIBRATION, {"groups": {"all": {"ece": 1}}}), r"\['mean_score'\]"),
    Case("examples: a list", (EXAMPLES, []), "all of it is"),
    Case("examples: box is text", (EXAMPLES, {"found": [{"object_box": "a"}]}), r"\['found'\]\[0"),
    Case("ranking errors: checkpoint", (RANKING_ERRORS, {"dataset": "a"}), r"\['num_images'\]"),
]


@table(ANALYSIS_CASES)
def test_analysis_files(tmp_path, case):
    shape, content = case.bad
    put(tmp_path / "a.json", json.dumps(content))
    with pytest.raises(ValueError, match=rf"a\.json is not what rankdet writes .*{case.sentence}"):
        read_json(tmp_path / "a.json", shape)


def test_odd_analysis_files_are_made_again(run):
    """A page of a run whose analysis files are odd in every way; and text of a run stays text."""
    run = run.rename(run.with_name(SCRIPT.replace("/", "")))
    (run / "analysis").mkdir()
    for name in ("errors_bbox.json", "score_calibration_bbox.json", "ranking_errors.json"):
        put(run / "analysis" / name, "[1]")
    scores = {"bbox": {"1": {"name": SCRIPT, "frequency": SCRIPT, "AP": 50.0}}}
    put(run / "inference" / "class_scores.json", json.dumps(scores))
    put(run / "results.json", json.dumps({SCRIPT: {SCRIPT: 3.0}, "bbox": {"AP": 1.0}}))
    put(run / "metrics.json", json.dumps({"iteration": 1, f"loss_{SCRIPT}": 1.0, SCRIPT: 2.0}))
    provenance = {"version": SCRIPT, "commit": "<script>", "has_local_changes": True}
    provenance |= {"started": "2026-11-21T13:07:15+00:00", "cpu": SCRIPT}
    provenance |= dict.fromkeys(("num_cpus", "num_threads", "num_processes"), 1)
    put(run / "log.txt", f"{LOG}{json.dumps(provenance)}\nPyTorch    {SCRIPT}\n")
    output = run.parent / "report.html"
    main([str(run), "--output", str(output), "--theory-images", "0"])
    text = output.read_text()
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "<h2>Errors</h2>" in text


def test_page_says_that_class_scores_are_odd(run):
    put(run / "inference" / "class_scores.json", "[1]")
    output = run.parent / "report.html"
    main([str(run), "--output", str(output), "--theory-images", "0"])
    assert "class_scores.json is not what rankdet writes (all of it" in output.read_text()


def test_images_elsewhere_are_not_shown(tmp_path, monkeypatch):
    images, secret = tmp_path / "images", tmp_path / "secret.png"
    images.mkdir()
    secret.touch()
    (tmp_path / "disk").mkdir()
    os.symlink(secret, images / "link.png")
    os.symlink(tmp_path / "disk", images / "train")
    names = ["a.png", "train/b.png", "link.png", "../secret.png", str(secret)]
    records = [
        {"image_id": number, "file_name": os.path.join(images, name)}
        for number, name in enumerate(names)
    ]

    class Metadata:
        image_root = str(images)

    monkeypatch.setattr(analysis, "load_dicts", lambda _: records)
    monkeypatch.setattr(analysis, "ensure_dataset", lambda _: Metadata)
    assert list(analysis.TestSet("any", {}, {}).image_files) == [0, 1]
    monkeypatch.setattr(Metadata, "image_root", None)
    assert list(analysis.TestSet("any", {}, {}).image_files) == [0, 1, 2, 3, 4]


def test_gallery_names_what_it_leaves_out(run, tmp_path, monkeypatch):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")

    def image_files(test_set):
        return {image["id"]: str(broken) for image in test_set.content["images"][::2]}

    monkeypatch.setattr(sections.TestSet, "image_files", property(image_files))
    main([str(run), "--output", str(tmp_path / "report.html"), "--theory-images", "0"])
    text = (tmp_path / "report.html").read_text()
    assert "its file is not in the image folder of the data set" in text
    assert "cannot identify image file" in text and "<h2>Gallery</h2>" in text
