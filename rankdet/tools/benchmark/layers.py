"""Times losses of a decoder's layers, forward and backward: at once, and layer by layer.

Letters: G layers, N queries of all images, C classes, F of them with an object.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from tabulate import tabulate
from torch import Tensor

from rankdet.engine.arguments import whole_number
from rankdet.losses import APLoss, FocalLoss, JointLoss, RankSortLoss
from rankdet.tools.benchmark.timing import machine, timed
from rankdet.tools.command_line import tool_parser


class Queries(NamedTuple):
    """How many of what a decoder predicts in each layer."""

    images: int
    queries: int
    classes: int
    objects: int


QUERIES = {
    "COCO": Queries(images=2, queries=300, classes=80, objects=15),
    "glyphs": Queries(images=8, queries=60, classes=36, objects=35),
    "LVIS": Queries(images=2, queries=300, classes=1203, objects=15),
}
LOSSES: Mapping[str, Callable[[int], JointLoss]] = {
    "focal": FocalLoss,
    "RS": RankSortLoss,
    "BRS": partial(RankSortLoss, algorithm="bucketed"),
    "AP": APLoss,
}
WARM_UPS = 3


class Inputs(NamedTuple):
    """See :meth:`rankdet.losses.HeadLoss.losses_of_layers`."""

    logits: Tensor
    labels: Tensor
    ious: Tensor
    box_losses: Tensor


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every loss on the queries of every data set, in turns, and print a table."""
    options = _parse(arguments)
    print(f"{machine()}; {torch.get_num_threads()} threads, {options.device}")
    rows = [
        row
        for name in options.queries
        for row in table_rows(name, options.layers, options.device, options.repetitions)
    ]
    headers = ("queries", "loss", "ms", "x focal", "x one by one", "x one layer")
    print(tabulate(rows, headers, "pipe", disable_numparse=True))


def table_rows(
    name: str, num_layers: int, device: str, repetitions: int
) -> Iterator[tuple[str, ...]]:
    """Measure the losses on the queries of a data set.

    Args:
        name: key of :data:`QUERIES`.
        num_layers: G.
        device: of the tensors.
        repetitions: of each loss.

    Yields:
        For each loss the time of all layers at once, and that as a multiple of the focal loss's, of
        its own layer by layer, and of its own of one layer: medians over the repetitions.
    """
    inputs = make_inputs(QUERIES[name], num_layers, device)
    seconds = measure(_runs(inputs, QUERIES[name].classes), repetitions)
    focal = seconds[0][0]
    for loss, (at_once, *alone) in zip(LOSSES, seconds, strict=True):
        ratios = (_ratio(at_once, other) for other in (focal, *alone))
        yield name, loss, f"{1000 * statistics.median(at_once):.2f}", *ratios


def make_inputs(queries: Queries, num_layers: int, device: str) -> Inputs:
    """Logits N(-3, 1), those of the objects N(-1, 1), IoUs and box losses U(0, 1); seeded.

    Then half of the negatives or more can be seen by some positive.

    Args:
        queries: how many.
        num_layers: G.
        device: of the tensors.
    """
    rng = torch.Generator().manual_seed(0)
    num_rows = queries.images * queries.queries
    logits = torch.empty(num_layers, num_rows, queries.classes).normal_(-3, 1, generator=rng)
    labels = torch.full((num_layers, num_rows), queries.classes)
    for of_layer, own_labels in zip(logits, labels, strict=True):
        rows = torch.randperm(num_rows, generator=rng)[: queries.objects]
        own_labels[rows] = torch.randint(queries.classes, rows.shape, generator=rng)
        of_layer[rows, own_labels[rows]] += 2
    ious, box_losses = torch.rand(2, num_layers, queries.objects, generator=rng).to(device)
    return _connected(Inputs(logits.to(device), labels.to(device), ious, box_losses))


def measure(
    runs: Sequence[Sequence[Callable[[], object]]], repetitions: int
) -> list[list[list[float]]]:
    """Seconds of every run of every loss, in turns: a busy moment hits all.

    Args:
        runs: of each loss.
        repetitions: of each run, after some that do not count.
    """
    seconds: list[list[list[float]]] = [[[] for _ in group] for group in runs]
    for repetition in range(-WARM_UPS, repetitions):
        for group, times in zip(runs, seconds, strict=True):
            for run, so_far in zip(group, times, strict=True):
                duration = timed(run)
                if repetition >= 0:
                    so_far.append(duration)
    return seconds


def _runs(inputs: Inputs, num_classes: int) -> list[tuple[Callable[[], object], ...]]:
    """At once, one by one, and one layer alone, of every loss."""
    layers = [_connected(Inputs(*layer)) for layer in zip(*inputs, strict=True)]
    runs: list[tuple[Callable[[], object], ...]] = []
    for make in LOSSES.values():
        loss = make(num_classes).to(inputs.logits.device)
        alone = partial(_one_by_one, loss)
        runs.append(
            (partial(_at_once, loss, inputs), *(partial(alone, x) for x in (layers, layers[:1])))
        )
    return runs


def _connected(inputs: Inputs) -> Inputs:
    """The same numbers as leaves of a graph."""
    return inputs._replace(
        logits=inputs.logits.detach().requires_grad_(),
        box_losses=inputs.box_losses.detach().requires_grad_(),
    )


def _at_once(loss: JointLoss, inputs: Inputs) -> None:
    values = loss.losses_of_layers(*inputs)
    torch.autograd.grad([x.sum() for x in values.values()], (inputs.logits, inputs.box_losses))


def _one_by_one(loss: JointLoss, layers: Sequence[Inputs]) -> None:
    values = [x for layer in layers for x in loss.losses(*layer).values()]
    torch.autograd.grad(values, [x for layer in layers for x in (layer.logits, layer.box_losses)])


def _ratio(seconds: Sequence[float], others: Sequence[float]) -> str:
    ratios = (x / y for x, y in zip(seconds, others, strict=True))
    return f"{statistics.median(ratios):.2f}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser("benchmark layers", __doc__)
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    add = parser.add_argument
    add("--queries", nargs="+", choices=QUERIES, default=list(QUERIES), help="of which decoders")
    add("--layers", type=whole_number(1), default=6, help="of the decoder")
    add("--repetitions", type=whole_number(1), default=30, help="of each loss, in turns")
    add("--device", choices=devices, default="cpu", help="cuda where there is one")
    return parser.parse_args(arguments)
