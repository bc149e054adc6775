"""Times each ranking loss and algorithm, forward and backward, against ``torch.sort``."""

import argparse
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from rankdet.engine.arguments import number, whole_number
from rankdet.tools.benchmark.loss_cells import (
    LOSSES,
    Cell,
    Measurement,
    measure,
    measure_in_child,
)
from rankdet.tools.benchmark.loss_plot import plot
from rankdet.tools.benchmark.loss_tables import (
    Results,
    Skipped,
    cost_table,
    csv_rows,
    growth_table,
)
from rankdet.tools.benchmark.timing import machine
from rankdet.tools.command_line import tool_parser

ALGORITHMS = ("exact", "bucketed", "pairwise")
SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
PERCENTAGES = (0.1, 1.0, 2.0, 5.0)
PILOT_SIZE = 10_000
_LOGITS = (
    " Logits as in the bucketed paper's S.3.2: positives N(-1, 1), negatives N(1, 1), float32; IoU "
    "labels U(0.05, 1). On CPU each cell runs in its own process, so that its peak of resident "
    "memory can be told."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the cells, print tables, and write them with a CSV file and a plot per device."""
    options = _parse(arguments)
    print(machine())
    options.output.mkdir(parents=True, exist_ok=True)
    for device in options.devices:
        run = partial(measure, seconds=options.seconds)
        if device == "cpu":
            run = partial(
                measure_in_child, seconds=options.seconds, num_threads=options.num_threads
            )
        results = sweep(_cells(device, options), options.max_seconds, run)
        where = f"CPU, num_threads={options.num_threads}" if device == "cpu" else "CUDA"
        _write(options.output / f"losses_{device}", results, where)


def sweep(cells: Iterable[Cell], max_seconds: float, run: Callable[[Cell], Measurement]) -> Results:
    """Measure the cells that are expected to take at most so long per repetition.

    Args:
        cells: what to measure, small sizes first: what is expected follows from them.
        max_seconds: limit.
        run: measures a cell.

    Returns:
        What became of each cell.
    """
    results: Results = {}
    for cell in tqdm(list(cells), "Measuring", unit="cell"):
        seconds = _predict(cell, results, run)
        results[cell] = Skipped(seconds) if seconds > max_seconds else run(cell)
    return results


def _predict(cell: Cell, results: Results, run: Callable[[Cell], Measurement]) -> float:
    """Seconds by the largest cell so far of the same loss and algorithm, or by a pilot."""
    if cell.size <= PILOT_SIZE:
        return 0.0
    known = {
        other: result.seconds
        for other, result in results.items()
        if other[:3] == cell[:3] and isinstance(result, Measurement)
    }
    if not known:
        pilot = cell._replace(size=PILOT_SIZE)
        known[pilot] = run(pilot).seconds
    largest = max(known, key=_work)
    return known[largest] * _work(cell) / _work(largest)


def _work(cell: Cell) -> int:
    """What the time is about proportional to: pairs, or logits."""
    return cell.size * cell.num_pos if cell.algorithm == "pairwise" else cell.size


def _cells(device: str, options: argparse.Namespace) -> list[Cell]:
    return [
        Cell(device, loss, algorithm, size, percent)
        for size in sorted(options.sizes)
        for percent in sorted(options.percentages)
        for loss in options.losses
        for algorithm in LOSSES[loss].algorithms
        if algorithm in options.algorithms
    ]


def _report(results: Results, where: str) -> Iterator[str]:
    yield f"## {where}: time as a multiple of torch.sort, and peak memory beyond the inputs"
    yield "Medians of forward + backward, quartiles in brackets; MB are 10^6 bytes."
    for loss in dict.fromkeys(cell.loss for cell in results):
        yield f"### {LOSSES[loss].label} Loss"
        yield cost_table(results, loss)
    yield "### Exponents of the growth with L (2 is quadratic)"
    yield growth_table(results) or "Give two sizes from 100K up to fit them."


def _write(path: Path, results: Results, where: str) -> None:
    text = "\n\n".join(_report(results, where))
    print(f"\n{text}")
    path.with_suffix(".md").write_text(f"{machine()}\n\n{text}\n", encoding="utf-8")
    with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(csv_rows(results))
    plot(results, where).savefig(path.with_suffix(".png"), dpi=150)
    print(f"\nWrote {path}.md, .csv and .png")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser("benchmark losses", f"{__doc__}{_LOGITS}")
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    add = parser.add_argument
    add("--losses", nargs="+", choices=LOSSES, default=list(LOSSES), help="which losses")
    add("--algorithms", nargs="+", choices=ALGORITHMS, default=ALGORITHMS, help="which algorithms")
    add("--sizes", nargs="+", type=_size, default=SIZES, help="numbers of logits, such as 1e6")
    add(
        "--percentages",
        nargs="+",
        type=number(0, 100, above=True),
        default=PERCENTAGES,
        help="%% of positives",
    )
    add("--devices", nargs="+", choices=devices, default=devices, help="cuda where there is one")
    add(
        "--num-threads",
        type=whole_number(1),
        default=torch.get_num_threads(),
        help="of torch on CPU",
    )
    add(
        "--seconds",
        type=number(0, above=True),
        default=1.0,
        help="how long to repeat a cell; 3 to 100 times",
    )
    add(
        "--max-seconds",
        type=number(0, above=True),
        default=20.0,
        help="skip cells above 10K logits where, by smaller ones, a repetition takes longer",
    )
    add("--output", type=Path, default=Path("output/benchmark/losses"), help="folder of the files")
    return parser.parse_args(arguments)


def _size(text: str) -> int:
    return int(number(1)(text))
