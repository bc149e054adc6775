"""Time and memory of one ranking loss on one list of logits, next to ``torch.sort`` of that list.

Letters: L logits, P positives among them.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from rankdet.losses.alrp import alrp_loss
from rankdet.losses.ap import ap_loss
from rankdet.losses.ndcg import ndcg_loss
from rankdet.losses.rank_sort import rank_sort_loss
from rankdet.tools.benchmark.timing import timed

MIN_REPETITIONS, MAX_REPETITIONS = 3, 100
WARM_UP_SIZE = 1000


class Inputs(NamedTuple):
    """Arguments of the ranking losses; see :func:`rankdet.losses.alrp.alrp_loss`."""

    logits: Tensor
    targets: Tensor
    loc_errors: Tensor


class Loss(NamedTuple):
    """A loss as the tables call it, its scalars by inputs and algorithm, and its algorithms."""

    label: str
    scalars: Callable[[Inputs, str], Sequence[Tensor]]
    algorithms: tuple[str, ...]


LOSSES = {
    "ap": Loss(
        "AP",
        lambda x, algorithm: (ap_loss(x.logits, x.targets, algorithm=algorithm),),
        ("exact", "bucketed", "pairwise"),
    ),
    "rank_sort": Loss(
        "RS",
        lambda x, algorithm: rank_sort_loss(x.logits, x.targets, algorithm=algorithm),
        ("exact", "bucketed", "pairwise"),
    ),
    "alrp": Loss(
        "aLRP",
        lambda x, algorithm: alrp_loss(x.logits, x.targets, x.loc_errors, algorithm=algorithm),
        ("exact", "pairwise"),
    ),
    "ndcg": Loss(
        "NDCG",
        lambda x, algorithm: (ndcg_loss(x.logits, x.targets, algorithm=algorithm),),
        ("exact", "pairwise"),
    ),
}


class Cell(NamedTuple):
    """What is measured: a loss (key of :data:`LOSSES`) and its algorithm on L logits."""

    device: str
    loss: str
    algorithm: str
    size: int
    percent: float

    @property
    def num_pos(self) -> int:
        """P, at least 1."""
        return max(round(self.size * self.percent / 100), 1)


class Measurement(NamedTuple):
    """Figures of a cell.

    Attributes:
        sort_seconds: median time of ``torch.sort``.
        seconds: median time of forward and backward.
        ratio: quartiles, the median in the middle, of the loss's time over that of the sort next to
            it.
        extra_bytes: peak memory of forward and backward, beyond what was there with the inputs.
        num_repetitions: pairs of sort and loss.
    """

    sort_seconds: float
    seconds: float
    ratio: tuple[float, float, float]
    extra_bytes: int
    num_repetitions: int


def measure_in_child(cell: Cell, seconds: float, num_threads: int) -> Measurement:
    """Measure in a new process, whose peak of resident memory is this cell's alone.

    The process is forked from a server that has imported this module and done nothing else.

    Args:
        cell: what to measure, on CPU.
        seconds: see :func:`measure`.
        num_threads: of torch.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context, torch.set_num_threads, (num_threads,)) as pool:
        return pool.submit(measure, cell, seconds).result()


def measure(cell: Cell, seconds: float) -> Measurement:
    """Run sort and loss in turn; the first run of the loss warms up and tells the peak memory.

    Args:
        cell: what to measure.
        seconds: how long to repeat; from 3 to 100 times. A first run that takes more than three
            times as long is the only one.

    Returns:
        The figures.
    """
    _forward_backward(cell, make_inputs(cell._replace(size=WARM_UP_SIZE)))
    inputs = make_inputs(cell)
    logits = inputs.logits.detach()
    peak_before = _peak_bytes(cell.device, reset=True)
    first = timed(lambda: _forward_backward(cell, inputs))
    extra_bytes = _peak_bytes(cell.device) - peak_before
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while first <= 3 * seconds and _goes_on(len(pairs), end):
        pairs.append((timed(logits.sort), timed(lambda: _forward_backward(cell, inputs))))
    pairs = pairs or [(timed(logits.sort), first)]
    return Measurement(*_medians(pairs), extra_bytes, len(pairs))


def make_inputs(cell: Cell) -> Inputs:
    """Logits as bucketed_ranking S.3.2 has them: positives N(-1, 1), negatives N(1, 1), seeded.

    Exactly P positives lie at random places. IoU labels are U(0.05, 1). Made without large
    temporary tensors, which the peak memory of the process would remember.

    Args:
        cell: L, P and device.
    """
    rng = torch.Generator().manual_seed(0)
    stride = cell.size // cell.num_pos
    places = torch.randint(stride, (cell.num_pos,), generator=rng)
    places += torch.arange(cell.num_pos) * stride
    ious = torch.empty(cell.num_pos).uniform_(0.05, 1, generator=rng)
    logits = torch.empty(cell.size).normal_(1, 1, generator=rng)
    logits[places] -= 2
    targets = torch.zeros(cell.size)
    targets[places] = ious
    loc_errors = ((1 - ious) / 0.5).clamp(max=1)
    return Inputs(
        logits.to(cell.device).requires_grad_(),
        targets.to(cell.device),
        loc_errors.to(cell.device).requires_grad_(),
    )


def _forward_backward(cell: Cell, inputs: Inputs) -> Sequence[Tensor]:
    loss = LOSSES[cell.loss]
    return torch.autograd.grad(
        list(loss.scalars(inputs, cell.algorithm)),
        (inputs.logits, inputs.loc_errors),
        allow_unused=True,
    )


def _goes_on(num_done: int, end: float) -> bool:
    is_early = time.perf_counter() < end
    return num_done < MIN_REPETITIONS or (num_done < MAX_REPETITIONS and is_early)


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float, tuple[float, float, float]]:
    """Ratios are taken within a pair, so that a busy moment hits both sides of them."""
    sorts, losses = zip(*pairs, strict=True)
    ratios = torch.tensor([loss / sort for sort, loss in pairs])
    low, middle, high = ratios.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return statistics.median(sorts), statistics.median(losses), (low, middle, high)


def _peak_bytes(device: str, *, reset: bool = False) -> int:
    """Peak so far: of tensors on CUDA, which can be reset; of resident memory on CPU."""
    if device == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # kB, except on macOS
