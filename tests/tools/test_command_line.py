import re

import pytest

from rankdet.engine.arguments import number, whole_number
from rankdet.tools.command_line import (
    errors_as_sentences,
    is_set,
    output_file,
    picture_file,
    split_overrides,
    tool_parser,
)


def test_overrides_may_stand_behind_options_with_several_values():
    arguments = ["--seeds", "0", "1", "train.max_iter=9", "--jobs", "2", "+a.b={x: 1=2}"]
    rest, overrides = split_overrides(arguments)
    assert rest == ["--seeds", "0", "1", "--jobs", "2"]
    assert overrides == ["train.max_iter=9", "+a.b={x: 1=2}"]


def test_options_paths_and_files_are_no_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.png").touch()
    arguments = ["--output=out", "frames/x=1.png", "a=b.png"]
    assert split_overrides(arguments) == (arguments, [])


def test_an_override_sets_its_own_key_only():
    assert is_set("train.device", ["a=1", "train.device=cpu"])
    assert is_set("train.device", ["++train.device=cpu"])
    assert not is_set("train.device", ["train.devices=1", "model.train.device=cpu", "train=device"])


@pytest.mark.parametrize(
    ("kind", "good", "bad", "message"),
    [
        (output_file, "report.html", ".", r"--file: \. is a folder; give a file in it\."),
        (picture_file, "new/a.PNG", "a.foo", r"a\.foo has no suffix of a picture; .* pdf.*, png,"),
        (picture_file, "a.pdf", "a", "a has no suffix of a picture"),
        (picture_file, "a.svg", ".", "is a folder"),
        (whole_number(1), "3", "0", "'0' is no whole number of 1 or more"),
        (whole_number(0), "0", "-2", "'-2' is no whole number of 0 or more"),
        (whole_number(1), "10", "1.5", "'1.5' is no whole number"),
        (number(0, 1), "0.5", "1.5", "'1.5' is no number of 0 or more and at most 1"),
        (number(0, above=True), "0.5", "0", "'0' is no number above 0"),
    ],
)
def test_a_wrong_value_of_an_option_is_told_at_once(kind, good, bad, message, capsys):
    parser = tool_parser("toy", None)
    parser.add_argument("--file", type=kind)
    assert str(parser.parse_args(["--file", good]).file) == good
    with pytest.raises(SystemExit):
        parser.parse_args([f"--file={bad}"])
    assert re.search(message, capsys.readouterr().err)


def test_only_errors_of_the_user_become_sentences():
    for error in (FileNotFoundError("no file"), ValueError("no file")):
        with pytest.raises(SystemExit, match=r"^error: no file$"), errors_as_sentences():
            raise error
    with pytest.raises(KeyError), errors_as_sentences():
        raise KeyError("a defect of ours")
