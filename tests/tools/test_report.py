import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser

import pytest
import torch
from support.finished_run import DATASET, write_run

from rankdet.modeling.calibration import ConfusionStatistics, save_statistics
from rankdet.tools.analysis_file import write_analysis
from rankdet.tools.command_line import THEORY_IMAGES
from rankdet.tools.ranking_errors import ranking_errors_path
from rankdet.tools.report import sections
from rankdet.tools.report.__main__ import main
from rankdet.tools.report.analysis import Analysis, read_test_set
from rankdet.tools.report.reported_run import read_run
from rankdet.tools.report.writer import write_report

CALIBRATION = "calibration_glyphs_smoke_val.pth"
VOID = {"meta", "img", "br", "wbr", "path", "use", "rect"}
RANKING = {"alpha": 9.0, "ranking_error": 0.1, "detection_error": 0.5, "lower_bound": 0.1}
RANKING |= {"upper_bound": 0.9, "linear_approximation": 0.2}


class Page(HTMLParser):
    """Text, links and ids of a page, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.data = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.data).split())

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self._read(attributes)

    def handle_startendtag(self, tag, attributes):
        self._read(attributes)

    def _read(self, attributes):
        values = dict(attributes)
        self.links += [values[name] for name in ("href", "src") if name in values]
        self.ids += [values["id"]] if "id" in values else []

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)


def write_ranking_errors(run, num_images, trust=()):
    """As the tool does, without a model."""
    path = ranking_errors_path(run)
    classes = [{"frequency": letter, **RANKING} for letter in "rcf"]
    groups = {letter: {"num_classes": 1, **RANKING} for letter in "rcf"}
    made_from = {"dataset": DATASET, "checkpoint": str(run / "model_final.pth")}
    made_from |= {"num_images": min(num_images, 40), "num_dataset_images": 40}
    content = {**made_from, "classes": classes, "groups": groups}
    write_analysis(path, content, [DATASET, "glyphs_smoke_train"])
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two methods of two seeds with everything that a page can show, and the page."""
    root = tmp_path_factory.mktemp("report")
    folders = []
    for method, overrides in (("base", ()), ("more & <better>", ("optimizer.lr=0.01",))):
        for seed in (0, 1):
            folders.append(write_run(root / "runs" / method / f"seed{seed}", seed, overrides))
            statistics = ConfusionStatistics(torch.rand(10, 10), torch.arange(10))
            save_statistics(folders[-1] / CALIBRATION, statistics)
            (folders[-1] / "last_checkpoint").write_text("model_final.pth")
            (folders[-1] / "model_final.pth").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "write_ranking_errors", write_ranking_errors)
        report(folders, root / "pages" / "report.html")
    return root


@pytest.fixture
def run(tmp_path):
    """A run to change."""
    return write_run(tmp_path / "run")


def page_text(root):
    return (root / "pages" / "report.html").read_text()


def report(runs, output, *options):
    main([*map(str, runs), "--output", str(output), *options])
    return output.read_text()


def test_page_is_complete_and_needs_no_network(root):
    text = page_text(root)
    page = Page(text)
    titles = re.findall("<h2>(.*?)</h2>", text)
    assert titles == [
        *("Metrics", "AP by group", "Classes", "Errors", "Score calibration", "Gallery"),
        *("Confusion", "Ranking theory", "Training curves", "Runs"),
    ]
    assert "base against more & <better>" in page.text and "<better>" not in text
    assert "Not available" not in page.text
    assert all(link.startswith(("#", "data:image/")) for link in page.links)
    assert "url(http" not in text and "@import" not in text
    assert len(page.ids) == len(set(page.ids)), "ids are unique"
    assert {link[1:] for link in page.links if link[0] == "#"} <= set(page.ids)
    assert "prefers-color-scheme:dark" in text and "#0000" not in text


def test_every_section_names_files_that_exist(root):
    text = page_text(root)
    sources = re.findall('<p class="source">From (.*?)</p>', text)
    assert len(sources) == text.count("<h2>")
    for source in sources:
        for one in source.split("</code>; "):
            file, *folders = re.findall("<code>(.*?)(?:</code>|$)", one)
            for folder in folders:
                assert (root / "runs" / unescape(folder) / unescape(file)).is_file()


def test_shows_the_numbers_of_the_files(root):
    text = page_text(root)
    page = Page(text)
    folder = root / "runs" / "base" / "seed0" / "analysis"
    assert (
        page.text.count("Counted are the 300 best detections of an image, all classes together.")
        == 3
    )
    assert "30.5 ± 0.7" in page.text and "49.5 ± 0.7" in page.text
    pair = json.loads((folder / "errors_bbox.json").read_text())["confusions"][0]
    cells = pair["true_name"], pair["predicted_name"], pair["num_detections"], pair["cost"]
    assert "{} {} {} {:.2f}".format(*cells) in page.text
    assert "0123456789 with local changes" in page.text
    assert "2 x NVIDIA H200" not in page.text, "the run was on a CPU, whatever GPUs there are"
    assert "AMD EPYC" in page.text and "2 min 37 s" in page.text
    assert "optimizer.lr" in page.text and "train.seed" not in page.text


@pytest.mark.usefixtures("no_plots")
def test_what_is_missing_is_said(tmp_path):
    run = write_run(tmp_path / "run", results={}, predictions=[])
    (run / "log.txt").unlink()
    (run / "metrics.json").unlink()
    page = Page(report([run], tmp_path / "report.html"))
    assert "No run has metrics: results.json is empty" in page.text
    assert "inference has none of lvis_instances_results.json" in page.text
    assert "has no checkpoint" in page.text
    assert "Training curves" not in page.text and "0 of 6" in page.text


@pytest.mark.slow
@pytest.mark.usefixtures("no_plots")
def test_one_stage_runs_stand_beside_two_stage_ones(tmp_path, monkeypatch):
    def write(folder, num_images, trust):
        if folder == one_stage:
            raise ValueError("FCOS has no BoxPredictor")
        return write_ranking_errors(folder, num_images, trust)

    monkeypatch.setattr(sections, "write_ranking_errors", write)
    metrics = {"AP": 20.0}
    two_stage = write_run(tmp_path / "two-stage", results={"bbox": metrics, "segm": metrics})
    one_stage = write_run(tmp_path / "one-stage", 0, ["optimizer.lr=0.01"])
    row = {"1": {"name": "A", "frequency": "f", "AP": 20.0, "AR": 30.0}}
    for folder, scores in ((two_stage, {"bbox": row, "segm": row}), (one_stage, {"bbox": row})):
        (folder / "analysis").mkdir()
        (folder / "inference" / "class_scores.json").write_text(json.dumps(scores))
    # The made-up detections have no masks; so those of boxes stand for them.
    of_boxes = Analysis(read_run(two_stage), read_test_set(DATASET, ["glyphs_smoke_train"]))
    shutil.copy(of_boxes.errors_path("bbox"), two_stage / "analysis" / "errors_segm.json")
    calibration = two_stage / "analysis" / "score_calibration_segm.json"
    shutil.copy(of_boxes.calibration_path("bbox"), calibration)
    text = report([two_stage, one_stage], tmp_path / "report.html")
    page = Page(text)
    assert "Not available" not in page.text
    assert "Left out: one-stage: FCOS has no BoxPredictor" in page.text
    assert "Detection error against ranking error" in text
    assert "AP by class, Boxes, one-stage" in text and "AP by class, Masks, two-stage" in text
    assert "AP by class, Masks, one-stage" not in text
    assert "AP lost, rare, Masks" in text and "Precision by score, rare, Masks" in text
    note = "Masks are missing of one-stage, seed 0: results.json has no 'segm'"
    assert page.text.count(note) == 3, "in the sections of classes, errors and score calibration"
    assert "Boxes are missing" not in page.text


@pytest.mark.usefixtures("no_plots")
def test_theory_says_on_how_many_images_it_rests_and_is_kept(run, tmp_path, monkeypatch):
    calls = []

    def write(folder, num_images, trust):
        calls.append(num_images)
        return write_ranking_errors(folder, num_images, trust)

    monkeypatch.setattr(sections, "write_ranking_errors", write)
    monkeypatch.setattr(sections, "_detection_sections", lambda _: [])  # They take their time.
    output = tmp_path / "report.html"
    for _ in range(2):
        text = report([run], output, "--theory-images", "30")
        assert "rests on 30 of the 40 images, spread evenly over glyphs_smoke_val." in text
    assert "This section rests on all 40 images of glyphs_smoke_val." in report([run], output)
    assert calls == [30, THEORY_IMAGES]
    assert "Ranking theory" not in report([run], output, "--theory-images", "0")


@pytest.mark.usefixtures("no_plots")
def test_theory_on_different_numbers_of_images_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "_detection_sections", lambda _: [])
    one = write_run(tmp_path / "one")
    other = write_run(tmp_path / "two", 0, ["optimizer.lr=0.01"])
    for folder, num_images in ((one, 30), (other, 40)):
        write_ranking_errors(folder, num_images)
    text = Page(report([one, other], tmp_path / "report.html", "--theory-images", "30")).text
    assert "one rests on 30 of the 40 images" in text and "two rests on all 40 images" in text


@pytest.mark.usefixtures("no_plots")
def test_half_a_line_of_metrics_and_damaged_results(run, tmp_path):
    with (run / "metrics.json").open("a") as file:
        file.write('{"iteration": 5, "total_l')
    assert "<h2>Training curves</h2>" in report([run], tmp_path / "report.html")
    (run / "results.json").write_text('{"bbox": ')
    with pytest.raises(SystemExit, match=r"results\.json is no JSON"):
        report([run], tmp_path / "report.html")


@pytest.mark.usefixtures("no_plots")
def test_images_that_are_elsewhere_cost_the_gallery_only(run, tmp_path, monkeypatch):
    def fail(*_):
        raise FileNotFoundError("no such image")

    monkeypatch.setattr(sections, "gallery_section", fail)
    text = report([run], tmp_path / "report.html")
    assert "Not available: no such image" in text and "<h2>Errors</h2>" in text


def test_runs_of_different_data_sets(tmp_path):
    one = write_run(tmp_path / "one")
    other = write_run(tmp_path / "two", 0, ["dataloader.test.dataset.names=glyphs_smoke_train"])
    with pytest.raises(SystemExit, match="tested on glyphs_smoke_val and glyphs_smoke_train"):
        report([one, other], tmp_path / "report.html")


def test_a_run_twice(run, tmp_path):
    with pytest.raises(ValueError, match="is given twice"):
        write_report([run, run], tmp_path / "report.html")


def test_no_run(tmp_path):
    with pytest.raises(SystemExit, match=r"has no config\.yaml"):
        report([tmp_path], tmp_path / "report.html")
