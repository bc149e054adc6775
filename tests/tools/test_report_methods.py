import json
from math import nan, sqrt

import pytest
from support.finished_run import write_run

from rankdet.tools.report.methods import (
    Spread,
    differing_options,
    group_methods,
    is_significant,
    spread,
)
from rankdet.tools.report.metrics import with_difference
from rankdet.tools.report.page import UNKNOWN, number
from rankdet.tools.report.reported_run import read_run
from rankdet.tools.report.training import runs_section


def methods_of(*folders):
    return group_methods([read_run(folder) for folder in folders])


def test_runs_that_differ_in_the_seed_are_one_method(tmp_path):
    folders = [
        write_run(tmp_path / "ecm" / "seed1", seed=1, predictions=[]),
        write_run(tmp_path / "slow-s0", 0, ["optimizer.lr=0.1"], predictions=[]),
        write_run(tmp_path / "ecm" / "seed0", seed=0, predictions=[]),
    ]
    ecm, slow = methods_of(*folders)
    assert (ecm.name, slow.name) == ("ecm", "slow")
    assert [run.folder for run in ecm.runs] == [folders[2], folders[0]]
    assert differing_options([ecm, slow]) == {"optimizer.lr": ["0.001", "0.1"]}
    assert ecm.spread("bbox", "AP") == Spread(30.5, pytest.approx(sqrt(0.5)), 2)
    assert ecm.spread("bbox", "APc") is None is ecm.spread("segm", "AP")


def test_methods_of_one_name_are_told_apart(tmp_path):
    one = write_run(tmp_path / "ecm-s0", predictions=[])
    other = write_run(tmp_path / "ecm-s1", 1, ["train.max_iter=9"], predictions=[])
    assert [method.name for method in methods_of(one, other)] == ["ecm (1)", "ecm (2)"]


def test_spread_leaves_out_what_is_undefined():
    assert spread([1.0, None, nan, 3.0]) == Spread(2.0, pytest.approx(sqrt(2)), 2)
    assert spread([None]) is None
    single = spread([5.0])
    assert (single.mean, single.number) == (5.0, 1) and single.deviation != single.deviation


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3], [4, 5, 6], True),  # t = 3.67, 4 degrees of freedom: critical 2.78
        ([1, 2, 3], [3, 4, 5], False),  # t = 2.45
        ([1, 2], [3, 4], False),  # t = 2.83, 2 degrees of freedom: critical 4.30
        ([1, 2], [4.1, 5.1], True),  # t = 4.38
        ([1], [4, 5, 6], False),
        ([1, 1], [2, 2], True),
        ([1, 1], [1, 1], False),
    ],
)
def test_significance_is_welchs(one, other, expected):
    assert is_significant(spread(other), spread(one)) is expected


def test_color_of_a_difference_says_which_way_is_better():
    low, high = spread([1.0, 1.1, 1.2]), spread([9.0, 9.1, 9.2])
    assert with_difference(high, low, "AP") == ("9.1 ± 0.1", "+8.0", "good")
    assert with_difference(low, high, "AP") == ("1.1 ± 0.1", "\N{MINUS SIGN}8.0", "bad")
    assert with_difference(low, high, "oLRP_Loc").style == "good"
    assert with_difference(spread([2.0]), spread([1.0]), "AP") == ("2.0", "+1.0", "")
    for other in (1.04, 0.96):
        assert with_difference(spread([1.0]), spread([other]), "AP").difference == "0.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0"),
        (-0.04, "0.0"),
        (-12.345, "\N{MINUS SIGN}12.3"),
        (None, UNKNOWN),
        (nan, UNKNOWN),
    ],
)
def test_numbers_have_a_minus_sign_but_zero_has_none(value, text):
    assert number(value) == text


def test_curves_take_what_a_resumed_run_has_repeated(tmp_path):
    folder = write_run(tmp_path / "run", predictions=[])
    lines = [(1, 9.0), (3, 8.0), (5, 7.0), (3, 2.0)]
    records = [{"iteration": i, "total_loss": loss, "time": loss} for i, loss in lines]
    (folder / "metrics.json").write_text("".join(json.dumps(one) + "\n" for one in records))
    run = read_run(folder)
    assert list(run.curves["total_loss"].items()) == [(1, 9.0), (3, 2.0), (5, 7.0)]


def test_facts_are_those_of_the_latest_start(tmp_path):
    folder = write_run(tmp_path / "run", predictions=[])
    log = (folder / "log.txt").read_text()
    (folder / "log.txt").write_text(log + log.replace("0123456789", "fedcba9876"))
    (run,) = methods_of(folder)[0].runs
    assert run.provenance["commit"] == "fedcba9876abcdef"
    assert run.versions["PyTorch"] == "2.11.0+cu130" and run.versions["detectron2"] == "0.6"
    assert run.device == "AMD EPYC"
    run.config.train.device = "cuda"
    assert run.device == "2 x NVIDIA H200"


def test_training_time_is_the_sum_over_iterations(tmp_path):
    folder = write_run(tmp_path / "run", predictions=[])
    lines = [(19, 0.5), (39, 2.0), (119, 0.75)]  # 10 s, 40 s and 60 s
    records = [{"iteration": i, "total_loss": 1.0, "time": time} for i, time in lines]
    (folder / "metrics.json").write_text("".join(json.dumps(one) + "\n" for one in records))
    (row,) = runs_section(methods_of(folder), tmp_path).content["rows"]
    assert row[3:7] == ["120 of 6", "1 min 50 s", "0.75 s", "2 min 37 s"]
