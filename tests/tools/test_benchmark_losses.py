"""The benchmark of the ranking losses measures, skips and fits as it says."""

import csv
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankdet.tools.benchmark.__main__ import main
from rankdet.tools.benchmark.loss_cells import (
    LOSSES,
    Cell,
    Measurement,
    make_inputs,
    measure,
    measure_in_child,
)
from rankdet.tools.benchmark.loss_plot import plot
from rankdet.tools.benchmark.loss_tables import (
    Results,
    Skipped,
    cost_table,
    growth,
    growth_table,
    short,
    sort_seconds,
)
from rankdet.tools.benchmark.losses import sweep


def cell(
    loss: str = "ap", algorithm: str = "exact", size: int = 100_000, percent: float = 1.0
) -> Cell:
    return Cell("cpu", loss, algorithm, size, percent)


def measurement(ratio: float = 1.0, *, seconds: float = 1.0, extra_bytes: int = 0) -> Measurement:
    return Measurement(seconds / ratio, seconds, (0.9 * ratio, ratio, 1.1 * ratio), extra_bytes, 9)


@pytest.mark.slow
def test_a_quick_run_measures_every_loss_and_algorithm_and_writes_its_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = "losses --sizes 2e3 --percentages 1 --seconds 0.02 --devices cpu --num-threads 1"
    main([*options.split(), "--output", str(tmp_path / "new")])
    printed = capsys.readouterr().out
    with (tmp_path / "new/losses_cpu.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = {(name, algorithm) for name, loss in LOSSES.items() for algorithm in loss.algorithms}
    assert {(row["loss"], row["algorithm"]) for row in rows} == expected
    assert len(rows) == len(expected) == 10
    for row in rows:
        assert int(row["num_pos"]) == 20
        assert int(row["num_repetitions"]) >= 3
        quartiles = [float(row[f"ratio_{name}"]) for name in ("q1", "median", "q3")]
        assert 0 < quartiles[0] <= quartiles[1] <= quartiles[2]
    assert len(re.findall(r"\d \([\d.,]+-[\d.,]+\) ", printed)) == len(expected)
    assert printed.split("\n\n## ")[1].split("\n\nWrote")[0] in (
        tmp_path / "new/losses_cpu.md"
    ).read_text(encoding="utf-8")
    assert (tmp_path / "new/losses_cpu.png").stat().st_size > 10_000


def test_inputs_are_those_of_the_bucketed_paper() -> None:
    inputs = make_inputs(cell(size=200_000, percent=5.0))
    is_pos = inputs.targets > 0
    assert is_pos.sum() == len(inputs.loc_errors) == 10_000
    logits = inputs.logits.detach()
    for values, mean in ((logits[is_pos], -1), (logits[~is_pos], 1)):
        assert values.mean().item() == pytest.approx(mean, abs=0.05)
        assert values.std().item() == pytest.approx(1, abs=0.05)
    labels = inputs.targets[is_pos]
    assert 0.05 <= labels.min() < 0.06 and 0.99 < labels.max() <= 1
    assert inputs.targets[~is_pos].eq(0).all()
    torch.testing.assert_close(inputs.loc_errors.detach(), (2 - 2 * labels).clamp(max=1))
    gaps = is_pos.nonzero().squeeze(1).diff()
    assert gaps.min() == 1 and gaps.max() > 30  # not at regular places
    again = make_inputs(cell(size=200_000, percent=5.0))
    assert torch.equal(again.logits, inputs.logits) and torch.equal(again.targets, inputs.targets)


def test_memory_is_what_the_loss_adds_to_its_inputs() -> None:
    size = 400_000
    exact = measure_in_child(cell(size=size), seconds=0.0, num_threads=1)
    # The gradient and one float64 per logit at least; but neither torch itself nor pairs.
    assert 12 * size < exact.extra_bytes < 120 * size
    assert exact.num_repetitions == 1  # the first run took longer than three times no time
    pairwise = measure_in_child(cell("ap", "pairwise", 10_000, 2.0), 0.0, 1)
    assert 2**20 * 8 < pairwise.extra_bytes < 2**20 * 80  # one block of pairs takes 2^20 doubles


@pytest.mark.gpu
def test_memory_on_cuda_is_what_the_loss_adds_to_its_inputs() -> None:
    on_cuda = cell(size=1_000_000)._replace(device="cuda")
    exact = measure(on_cuda, seconds=0.5)
    assert 12 * on_cuda.size < exact.extra_bytes < 200 * on_cuda.size
    assert exact.num_repetitions >= 3


def run_quickly(ran: list[Cell]) -> Callable[[Cell], Measurement]:
    """Measure without measuring: 10 ns per pair, 100 ns per logit."""

    def run(cell: Cell) -> Measurement:
        ran.append(cell)
        if cell.algorithm == "pairwise":
            return measurement(seconds=1e-8 * cell.size * cell.num_pos)
        return measurement(seconds=1e-7 * cell.size)

    return run


def test_cells_that_would_take_too_long_are_skipped() -> None:
    sizes = (10_000, 100_000, 1_000_000)
    cells = [cell("ap", a, size, 1.0) for size in sizes for a in ("exact", "pairwise")]
    ran: list[Cell] = []
    results = sweep(cells, max_seconds=20, run=run_quickly(ran))
    assert list(results) == cells
    assert ran == cells[:-1]
    assert results[cells[-1]] == Skipped(pytest.approx(100.0))  # 1e6 logits x 1e4 positives


def test_a_small_pilot_foretells_a_large_cell_without_smaller_ones() -> None:
    large = cell("rank_sort", "pairwise", 5_000_000, 5.0)
    ran: list[Cell] = []
    results = sweep([large], max_seconds=20, run=run_quickly(ran))
    assert ran == [large._replace(size=10_000)]
    assert results == {large: Skipped(pytest.approx(12_500.0))}


def test_growth_is_the_exponent_from_100k_up() -> None:
    times = {size: 3e-9 * size**1.25 for size in (100_000, 1_000_000, 5_000_000)}
    assert growth({10_000: 7.0, **times}) == pytest.approx(1.25)
    assert math.isnan(growth({10_000: 7.0, 100_000: 8.0}))


def test_tables_show_costs_skipped_cells_and_exponents() -> None:
    exact = {cell(size=s): measurement(0.5, seconds=1e-8 * s) for s in (100_000, 1_000_000)}
    results: Results = {
        **exact,
        cell("ap", "pairwise", 100_000): measurement(1200.0, seconds=2.4, extra_bytes=50_460_000),
        cell("ap", "pairwise", 1_000_000): Skipped(240.0),
    }
    table = [
        [c.strip() for c in line.split("|")[1:-1]] for line in cost_table(results, "ap").split("\n")
    ]
    assert table[0] == ["L", "% pos.", "sort, ms", "exact, x sort", "MB", "pairwise, x sort", "MB"]
    assert table[2] == [
        *("100K", "1", "2.00", "0.50 (0.45-0.55)", "0.0", "1,200 (1,080-1,320)", "50.5"),
    ]
    assert table[3][5:] == ["skipped, about 240 s", "-"]
    rows = [line.split() for line in growth_table(results).split("\n")]
    assert ["|", "AP", "exact", "|", "1.00", "|"] in rows
    assert not any("pairwise" in row for row in rows)  # one size only
    assert growth_table({cell(): measurement()}) == ""


def test_plot_has_a_panel_per_loss_and_a_line_per_algorithm_and_percentage() -> None:
    results: Results = {
        cell(loss, algorithm, size, percent): measurement(2.0, seconds=1e-7 * size * percent)
        for loss in ("ap", "alrp")
        for algorithm in LOSSES[loss].algorithms
        for size in (10_000, 100_000)
        for percent in (0.1, 5.0)
    }
    results[cell("ap", "pairwise", 1_000_000, 5.0)] = Skipped(99.0)
    figure = plot(results, "CPU")
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == ["AP Loss", "aLRP Loss"]
    assert [len(axes.lines) for axes in panels] == [1 + 3 * 2, 1 + 2 * 2]
    sort = panels[0].lines[0]
    assert sort.get_label() == "torch.sort"
    assert dict(zip(*sort.get_data(), strict=True)) == pytest.approx(
        {size: sort_seconds(results)[size, 0.1] for size in (10_000, 100_000)}
    )
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *("torch.sort", "exact", "bucketed", "pairwise")
    ]
    assert {text.get_text() for text in panels[0].texts} == {"0.1 %", "5 %"}


def test_sizes_are_written_short() -> None:
    assert [short(n) for n in (500, 10_000, 1_500_000)] == ["500", "10K", "1.5M"]
