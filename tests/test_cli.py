import importlib
import subprocess
import sys

import pytest

import rankdet
from rankdet import cli

PROBE = """
import sys
from rankdet.cli import main
main(["--help"])
heavy = {"torch", "torchvision", "detectron2", "matplotlib", "numpy"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


@pytest.fixture(autouse=True)
def started_by_the_console_script(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/env/bin/rankdet"])


def test_help_lists_all_subcommands_and_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name, subcommand in cli.SUBCOMMANDS.items():
        (line,) = (one for one in lines if one.split()[:1] == [name])
        assert line.endswith(f"  {subcommand.summary}") and len(line) < 80


def test_help_without_arguments(capsys):
    cli.main([])
    assert capsys.readouterr().out.startswith("usage: rankdet SUBCOMMAND ...")


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"rankdet {rankdet.__version__}\n"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("trian", "train"), ("ranking_errors", "ranking-errors"), ("datasets", "dataset")],
)
def test_unknown_subcommand_is_one_sentence_with_the_nearest(name, nearest, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        f"error: there is no subcommand {name!r}; the nearest is {nearest!r}, and "
        "`rankdet --help` lists all.\n"
    )


@pytest.mark.parametrize("start", ["/env/bin/rankdet", "/lib/rankdet/__main__.py"])
@pytest.mark.parametrize("name", cli.SUBCOMMANDS)
def test_help_of_a_subcommand_says_how_it_was_started(name, start, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [start, name, "--help"])
    try:
        cli.main()
    except SystemExit as end:
        assert end.code == 0
    program = "python -m rankdet" if start.endswith(".py") else "rankdet"
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: {program} {name} ")
    assert "rankdet.tools." not in printed, "another way to start it"


def test_help_of_a_module_says_how_it_was_started(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/lib/rankdet/tools/predict.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module("rankdet.tools.predict").main()
    printed = capsys.readouterr().out
    assert printed.startswith("usage: python -m rankdet.tools.predict ")
    assert "rankdet predict" not in printed


@pytest.fixture
def trainings(monkeypatch):
    """What the trainer's processes would get."""
    started = []
    training = importlib.import_module("rankdet.engine.main")
    monkeypatch.setattr(training, "launch", lambda run, args: started.append(args))
    return started


def test_train_and_eval_are_the_same_program(trainings):
    cli.main(["train", "--config-file", "a.py", "train.seed=1"])
    cli.main(["eval", "--config-file", "a.py", "train.seed=1"])
    trained, evaluated = map(vars, trainings)
    assert (trained["eval_only"], evaluated["eval_only"]) == (False, True)
    assert trained == {**evaluated, "eval_only": False}
    assert trained["opts"] == ["train.seed=1"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["report", "nowhere"], "error: nowhere does not exist; give"),
        (["eval", "--config-file", "nowhere.py"], "error: --config-file 'nowhere.py' does not"),
        (["dataset", "describe"], "2"),
    ],
)
def test_errors_of_a_subcommand_pass_through(arguments, code):
    with pytest.raises(SystemExit, match=f"^{code}"):
        cli.main(arguments)


def test_a_broken_environment_is_one_sentence_except_for_what_mends_it(monkeypatch, capsys):
    def complain():
        raise ImportError("detectron2 is not installed.")

    monkeypatch.setattr(cli, "check_environment", complain)
    with pytest.raises(SystemExit, match=r"^error: detectron2 is not installed\.$"):
        cli.main(["train", "--help"])
    with pytest.raises(SystemExit, match="0"):
        cli.main(["install-detectron2", "--help"])
    assert "--route" in capsys.readouterr().out
