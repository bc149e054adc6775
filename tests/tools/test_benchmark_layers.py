"""The benchmark of a decoder's layers measures what it says."""

import pytest
import torch

from rankdet.tools.benchmark.__main__ import main
from rankdet.tools.benchmark.layers import LOSSES, QUERIES, Queries, make_inputs, measure

FEW = Queries(images=2, queries=20, classes=7, objects=5)


def test_a_quick_run_has_a_row_for_each_loss(capsys: pytest.CaptureFixture[str]) -> None:
    main("layers --queries glyphs --layers 2 --repetitions 1".split())
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [row[1].strip() for row in rows[2:]] == list(LOSSES)
    for row in rows[2:]:
        assert row[0].strip() == "glyphs" and all(float(x) > 0 for x in row[2:])
    assert float(rows[2][3]) == 1  # the focal loss as a multiple of itself


def test_inputs_are_those_of_a_matched_decoder() -> None:
    inputs = make_inputs(FEW, 3, "cpu")
    assert inputs.logits.shape == (3, 40, 7) and inputs.logits.requires_grad
    is_foreground = inputs.labels < 7
    assert is_foreground.sum(1).tolist() == [5, 5, 5] and (inputs.labels[~is_foreground] == 7).all()
    assert inputs.ious.shape == inputs.box_losses.shape == (3, 5)
    assert torch.equal(make_inputs(FEW, 3, "cpu").logits, inputs.logits)


def test_matched_logits_are_higher_by_two() -> None:
    inputs = make_inputs(QUERIES["glyphs"], 6, "cpu")
    is_matched = torch.nn.functional.one_hot(inputs.labels, 37)[..., :36].bool()
    assert is_matched.sum() == 6 * 35
    for mask, mean in ((is_matched, -1), (~is_matched, -3)):
        assert inputs.logits[mask].mean().item() == pytest.approx(mean, abs=0.2)


def test_runs_take_turns() -> None:
    ran: list[str] = []
    runs = [[lambda: ran.append("a"), lambda: ran.append("b")], [lambda: ran.append("c")]]
    seconds = measure(runs, repetitions=2)
    assert [[len(times) for times in group] for group in seconds] == [[2, 2], [2]]
    assert ran == ["a", "b", "c"] * (len(ran) // 3) and len(ran) > 6
