"""Times training iterations of configs against a baseline, in turns and on the same images.

Ratios are taken within a round, so that a busy moment of the machine hits both sides of them.
"""

import itertools
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.engine import SimpleTrainer
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig
from tabulate import tabulate

from rankdet.engine.arguments import whole_number
from rankdet.engine.config import load_config
from rankdet.tools.benchmark.iteration_presets import PRESETS
from rankdet.tools.benchmark.timing import machine, timed
from rankdet.tools.command_line import split_overrides, tool_parser

NUM_BATCHES = 8
HEADERS = ("", "ms (median)", "ratio (median)", "quartiles of the ratio")
_PRESETS = """
presets, which rankdet's own figures are from:
""" + "\n".join(f"  {name:16} {preset.summary}" for name, preset in PRESETS.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each comparison that the command line asks for."""
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments, overrides = split_overrides(arguments)
    parser = tool_parser("benchmark iteration", __doc__, _PRESETS)
    parser.add_argument(
        "--configs", nargs="+", metavar="CONFIG", help="to compare: files, or names of rankdet's"
    )
    parser.add_argument("--baseline", metavar="CONFIG", help="default: the first of --configs")
    parser.add_argument(
        "--presets",
        nargs="+",
        choices=PRESETS,
        default=list(PRESETS),
        metavar="NAME",
        help="what to compare without --configs; default: all",
    )
    parser.add_argument(
        "--iterations", type=whole_number(2), default=40, help="of each; default: %(default)d"
    )
    options = parser.parse_args(arguments)
    print(machine())
    if options.configs:
        names = dict.fromkeys([*filter(None, [options.baseline]), *options.configs])
        experiments = {name: load_config(name, overrides) for name in names}
        print_comparison(experiments, options.iterations)
        return
    for name in options.presets:
        for title, experiments in PRESETS[name].comparisons(overrides):
            print(f"\n{title}", flush=True)
            print_comparison(experiments, options.iterations)


def print_comparison(experiments: Mapping[str, DictConfig], num_iterations: int) -> None:
    """Train each experiment's own model in turns, and print the times of its iterations.

    Args:
        experiments: configs by name; the first is the baseline. All train on the images of the
            baseline.
        num_iterations: of each, after one to warm up.
    """
    batches = load_batches(next(iter(experiments.values())))
    trainers = {name: _trainer(cfg, batches) for name, cfg in experiments.items()}
    seconds = _take_turns(trainers, num_iterations)
    baseline = next(iter(seconds.values()))
    rows = [(name, *_summary(values, baseline)) for name, values in seconds.items()]
    print(tabulate(rows, headers=HEADERS, floatfmt=("", ".1f", ".3f", "")), flush=True)


def load_batches(cfg: DictConfig) -> list[Any]:
    """Load the first training batches of an experiment.

    Where the model has more classes than the data set, the objects are spread over all of them.
    """
    batches = list(itertools.islice(instantiate(cfg.dataloader.train), NUM_BATCHES))
    num_classes = cfg.get("benchmark_classes")
    for image in itertools.chain(*batches) if num_classes else ():
        labels = image["instances"].gt_classes
        image["instances"].gt_classes = torch.randint_like(labels, num_classes)
    return batches


def _trainer(cfg: DictConfig, batches: list[Any]) -> SimpleTrainer:
    cfg = cfg.copy()
    torch.manual_seed(0)
    model = instantiate(cfg.model).to(cfg.train.device)
    cfg.optimizer.params.model = model
    trainer = SimpleTrainer(model, itertools.cycle(batches), instantiate(cfg.optimizer))
    trainer.iter, trainer.storage = 0, None
    return trainer


def _take_turns(
    trainers: Mapping[str, SimpleTrainer], num_iterations: int
) -> dict[str, list[float]]:
    """Seconds of each in each round; the order turns so that none is always first."""
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    names = list(trainers)
    with EventStorage() as storage:
        for trainer in trainers.values():  # warm-up: allocations, first use of kernels
            trainer.run_step()
        for index in range(num_iterations):
            storage.iter = index
            for name in names[index % len(names) :] + names[: index % len(names)]:
                seconds[name].append(timed(trainers[name].run_step))
    return seconds


def _summary(values: list[float], baseline: list[float]) -> tuple[float, float, str]:
    ratios = [a / b for a, b in zip(values, baseline, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return 1000 * statistics.median(values), middle, f"{low:.3f} - {high:.3f}"
