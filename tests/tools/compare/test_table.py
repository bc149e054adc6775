import json
from pathlib import Path

from rankdet.tools.compare.runs import Run
from rankdet.tools.compare.table import comparison_tables, write_comparison


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_mean_and_sample_standard_deviation_per_task():
    results = {
        "ce": [{"bbox": {"AP": 30.0, "APr": 1.0}}, {"bbox": {"AP": 34.0, "APr": None}}],
        "ecm": [{"bbox": {"AP": 41.26, "APr": 5.0}, "segm": {"AP": 9.0}}],
    }
    lines = comparison_tables(results).splitlines()
    assert lines[0] == "## bbox"
    assert cells(lines[2]) == ["config", "seeds", "AP", "APr"]
    assert cells(lines[4]) == ["ce", "2", "32.0 ± 2.8", "-"]  # Deviations of 2: root of 8 / 1.
    assert cells(lines[5]) == ["ecm", "1", "41.3", "5.0"]
    assert lines[7] == "## segm"
    assert [cells(line) for line in lines[11:]] == [["ce", "0", "-"], ["ecm", "1", "9.0"]]


def test_a_metric_that_all_lack_is_left_out():
    results = {"ce": [{"bbox": {"AP": 1.0, "APl": None}}], "ecm": [{"bbox": {"APl": None}}]}
    lines = comparison_tables(results).splitlines()
    assert [cells(line) for line in lines[2:3] + lines[4:]] == [
        ["config", "seeds", "AP"],
        ["ce", "1", "1.0"],
        ["ecm", "1", "-"],
    ]


def test_correlations_have_two_digits():
    results = {"ce": [{"bbox_lrp": {"score_iou_correlation": 0.456}}]}
    assert "0.46" in comparison_tables(results)


def test_file_names_the_files_behind_the_numbers(tmp_path):
    runs = [Run(Path("ce.py"), (), seed, tmp_path / str(seed), 6, "cpu") for seed in (0, 1)]
    for run in runs:
        run.folder.mkdir()
        run.results_file.write_text(json.dumps({"bbox": {"AP": 10.0 + 2 * run.seed}}))
    text = write_comparison(runs, tmp_path / "comparison.md")
    assert (tmp_path / "comparison.md").read_text() == text
    assert "11.0 ± 1.4" in text
    assert all(f"- ce seed {run.seed}: {run.results_file}\n" in text for run in runs)


def test_no_metrics_at_all_are_said():
    text = comparison_tables({"ce": [{}], "ecm": [{}, {}]})
    assert text == "No run has metrics: the data set that they were tested on has no annotations."
