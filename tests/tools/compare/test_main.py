from pathlib import Path

import pytest
from support.smoke_run import CONFIG, OVERRIDES

from rankdet.tools.command_line import THEORY_IMAGES
from rankdet.tools.compare import __main__ as tool

OTHER = str(Path(CONFIG).with_name("mask_rcnn_r18_fpn.py"))


@pytest.fixture
def compare(plan, tmp_path, monkeypatch):
    """Call the tool with trainings that take no time; gives the folders that are reported on."""
    reported = []
    monkeypatch.setattr(tool, "write_report", lambda *call: reported.append(call))

    def call(*seeds, configs=(CONFIG, OTHER), options=()):
        own = ("--configs", *configs, "--output", str(tmp_path), "--seeds", *map(str, seeds))
        tool.main([*own, *options, *OVERRIDES])
        return reported

    return call


def test_ends_in_table_and_report(compare, tmp_path, capsys):
    ((folders, path, theory_images, trust),) = compare(0, 1)
    methods = [Path(CONFIG).stem, Path(OTHER).stem]
    assert folders == [tmp_path / method / f"seed{seed}" for method in methods for seed in (0, 1)]
    assert (path, theory_images, trust) == (tmp_path / "report.html", THEORY_IMAGES, [])
    text = (tmp_path / "comparison.md").read_text()
    assert text.count("30.5 ± 0.7") == 2  # The fake training gives 30 and 31.
    assert text in capsys.readouterr().out


def test_same_command_again_trains_nothing(compare, capsys):
    compare(0)
    capsys.readouterr()
    compare(0, 1)
    output = capsys.readouterr().out
    assert output.startswith("2 of 4 runs to do.\n")
    assert "started: mask_rcnn_r18_fpn seed 1\n" in output and "seed 0\n" not in output


def test_failure_is_told_after_the_others_are_compared(compare, tmp_path):
    message = "error: 1 of 2 runs failed: mask_rcnn_r18_fpn_ecm seed 9; .* tries them again"
    with pytest.raises(SystemExit, match=message):
        compare(0, 9, configs=[CONFIG])
    text = (tmp_path / "comparison.md").read_text()
    assert "30.0" in text and "seed 9" not in text


def test_where_everything_failed_there_is_no_table(compare, tmp_path):
    with pytest.raises(SystemExit, match="1 of 1 runs failed"):
        compare(9, configs=[CONFIG])
    assert not (tmp_path / "comparison.md").exists()


def test_report_gets_the_number_of_images(compare):
    ((_, _, theory_images, _),) = compare(0, configs=[CONFIG], options=["--theory-images", "7"])
    assert theory_images == 7


def test_bad_argument_ends_with_a_sentence(compare, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"error: --seeds is \[0, 0\]"):
        compare(0, 0)
    with pytest.raises(SystemExit, match="2"):
        compare(0, options=["--theory-images", "-1"])
    assert "'-1' is no whole number of 0 or more" in capsys.readouterr().err
    assert not any(tmp_path.iterdir()), "before anything is trained"


def test_interruption_ends_with_a_sentence(compare, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "train_all", interrupt)
    with pytest.raises(SystemExit, match="interrupted: the same command goes on"):
        compare(0)
