"""Numbers on the command lines of train_net.py, the tools and the benchmarks."""

import importlib
import re

import pytest
from bad_input.case import Case, table

from rankdet.engine.arguments import parse_arguments

TRAINING_CASES = [
    Case("no config", [], "--config-file is missing; give one of rankdet's configs"),
    Case("GPUs negative", ["--num-gpus", "-1"], "'-1' is no whole number of 1 or more"),
    Case("GPUs none", ["--num-gpus", "0"], "'0' is no whole number of 1 or more"),
    Case("GPUs text", ["--num-gpus", "all"], "'all' is no whole number of 1 or more"),
    Case("GPUs fraction", ["--num-gpus", "1.5"], "'1.5' is no whole number of 1 or more"),
    Case("machines none", ["--num-machines", "0"], "'0' is no whole number of 1 or more"),
    Case("rank of one machine", ["--machine-rank", "5"], "--machine-rank is 5 of --num-machines 1"),
    Case(
        "rank beyond the machines",
        ["--num-machines", "2", "--machine-rank", "2", "--dist-url", "tcp://a:1"],
        "ranks are from 0 to 1",
    ),
    Case("rank negative", ["--machine-rank", "-1"], "'-1' is no whole number of 0 or more"),
    Case("URL without a protocol", ["--dist-url", "host:9"], "'host:9'; give tcp://HOST:PORT"),
    Case(
        "URL by itself on two machines",
        ["--num-machines", "2", "--dist-url", "auto"],
        "--dist-url auto is for one machine",
    ),
    Case("timeout none", ["--dist-timeout", "0"], "'0' is no whole number of 1 or more"),
    Case("timeout text", ["--dist-timeout", "1h"], "'1h' is no whole number of 1 or more"),
    Case("overwrite and resume", ["--overwrite", "--resume"], "leave it out with --resume"),
    Case("overwrite and evaluate", ["--overwrite", "--eval-only"], "leave it out with --resume"),
    Case("module that is none", ["--trust", "a/b"], "'a/b' is no name of a module"),
    Case("unknown option", ["--gpus", "1"], "unrecognized arguments|No such|ambiguous|--gpus"),
    Case("evaluate and resume", ["--eval-only", "--resume"], meaning="the last checkpoint"),
    Case("auto on one machine", ["--dist-url", "auto"], meaning="a free port"),
]


@table(TRAINING_CASES)
def test_train_net(case, capsys):
    config = [] if case.id == "no config" else ["--config-file", "a.py"]
    arguments = [*config, *case.bad]
    if case.meaning:
        assert parse_arguments(arguments).config_file == "a.py", case.meaning
        return
    with pytest.raises(SystemExit) as end:
        parse_arguments(arguments)
    assert end.value.code == 2
    assert_sentence(capsys.readouterr().err, case)


def assert_sentence(printed, case):
    assert "Traceback" not in printed
    last = printed.strip().splitlines()[-1]
    assert ": error: " in last and re.search(case.sentence, last), last


COUNT = "is no whole number of 1 or more"
SCORE = "is no number of 0 or more and at most 1"
REPORT = ("report", "run")
ERRORS = ("ranking_errors", "run")
PREDICT = ("predict", "--config-file", "a", "--webcam")
COMPARE = ("compare", "--configs", "a.py")
TOOL_CASES = [
    Case("visualize no images", ("visualize", "run", "--num-images", "0"), f"'0' {COUNT}"),
    Case("visualize images text", ("visualize", "run", "--num-images", "x"), f"'x' {COUNT}"),
    Case("visualize score", ("visualize", "run", "--score-threshold", "30"), f"'30' {SCORE}"),
    Case("visualize score nan", ("visualize", "run", "--score-threshold", "nan"), f"'nan' {SCORE}"),
    Case(
        "predict score",
        (*PREDICT, "--confidence-threshold", "2"),
        SCORE,
    ),
    Case(
        "predict score nan",
        (*PREDICT, "--confidence-threshold", "nan"),
        SCORE,
    ),
    Case(
        "predict without a source",
        ("predict", "--config-file", "a"),
        "one of the arguments",
    ),
    Case("ranking_errors no images", (*ERRORS, "--num-images", "0"), f"'0' {COUNT}"),
    Case("ranking_errors negative", (*ERRORS, "--num-images", "-1"), f"'-1' {COUNT}"),
    Case("report theory negative", (*REPORT, "--theory-images", "-1"), "whole number of 0 or more"),
    Case("report theory text", (*REPORT, "--theory-images", "all"), "whole number of 0 or more"),
    Case("report without runs", ("report",), "required: RUN"),
    Case("compare no jobs", (*COMPARE, "--jobs", "0"), f"'0' {COUNT}"),
    Case("compare seed negative", (*COMPARE, "--seeds", "-1"), "whole number of 0 or more"),
    Case("compare seed fraction", (*COMPARE, "--seeds", "0.5"), "whole number of 0 or more"),
    Case("compare theory text", (*COMPARE, "--theory-images", "x"), "whole number of 0 or more"),
    Case("dataset workers none", ("dataset", "generate", "a", "--workers", "0"), f"'0' {COUNT}"),
    Case("dataset draw none", ("dataset", "draw", "a", "--output", "a.png", "--num", "0"), COUNT),
    Case("dataset draw text", ("dataset", "draw", "a", "--output", "a.txt"), "no suffix of a"),
]
BENCHMARK_CASES = [
    Case("one iteration", ("iteration", "--iterations", "1"), "whole number of 2 or more"),
    Case("iterations text", ("iteration", "--iterations", "many"), "whole number of 2 or more"),
    Case("no such preset", ("iteration", "--presets", "all"), "invalid choice: 'all'"),
    Case("evaluation images", ("evaluation", "--images", "0"), COUNT),
    Case("evaluation detections", ("evaluation", "--detections", "x"), COUNT),
    Case("instances", ("class_stats", "--instances", "0"), COUNT),
    Case("size infinite", ("losses", "--sizes", "inf"), "no number of 1 or more"),
    Case("size zero", ("losses", "--sizes", "0"), "no number of 1 or more"),
    Case("percentage above 100", ("losses", "--percentages", "101"), "at most 100"),
    Case("percentage zero", ("losses", "--percentages", "0"), "no number above 0"),
    Case("seconds", ("losses", "--seconds", "nan"), "no number above 0"),
    Case("threads", ("losses", "--num-threads", "0"), COUNT),
]


def end_of(module, arguments):
    with pytest.raises(SystemExit) as end:
        importlib.import_module(module).main(list(arguments))
    assert end.value.code == 2


@table(TOOL_CASES)
def test_tool(case, capsys):
    tool, *arguments = case.bad
    package = ".__main__" if tool in ("report", "compare") else ""
    end_of(f"rankdet.tools.{tool}{package}", arguments)
    assert_sentence(capsys.readouterr().err, case)


@table(BENCHMARK_CASES)
def test_benchmark(case, capsys):
    benchmark, *arguments = case.bad
    end_of(f"rankdet.tools.benchmark.{benchmark}", arguments)
    assert_sentence(capsys.readouterr().err, case)
