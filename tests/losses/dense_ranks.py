"""Dense losses on the batches of two ranks, each in a process of its own, or together in one."""

from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from losses.dense_reference import DENSE_LOSSES, NUM_CLASSES

from rankdet.losses.joint import IGNORED

BACKGROUND = NUM_CLASSES
# Labels of each rank by iteration: foreground on both ranks, on one, a single row, none, no rows.
LABELS = [
    [[0, 1, BACKGROUND, IGNORED], [2, BACKGROUND], [3, BACKGROUND], [BACKGROUND], []],
    [[1, BACKGROUND], [BACKGROUND, IGNORED], [], [BACKGROUND, IGNORED], [BACKGROUND]],
]


def _evaluate(loss, ranks):
    """Both losses and the gradient by a bias of the classes, of each iteration."""
    results = []
    for iteration in range(len(LABELS[0])):
        bias = torch.zeros(NUM_CLASSES, dtype=torch.float64, requires_grad=True)
        values = loss(*_union([_rank_batch(rank, iteration) for rank in ranks], bias))
        (gradient,) = torch.autograd.grad(values["loss_cls"], bias)
        results.append([*(value.detach() for value in values.values()), gradient])
    return results


def _rank_batch(rank, iteration):
    labels = torch.tensor(LABELS[rank][iteration], dtype=torch.int64)
    generator = torch.Generator().manual_seed(10 * iteration + rank)
    logits = torch.randn(len(labels), NUM_CLASSES, generator=generator, dtype=torch.float64)
    num_pos = int(((labels >= 0) & (labels < NUM_CLASSES)).sum())
    ious, box_losses = torch.rand(2, num_pos, generator=generator, dtype=torch.float64)
    return logits, labels, ious, box_losses


def _union(batches, bias):
    logits, *others = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return logits + bias, *others


def run_one_process():
    """What each loss makes of the batches of both ranks together."""
    return {name: _evaluate(make(), [0, 1]) for name, make in DENSE_LOSSES.items()}


def _run_rank(rank, folder):
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    results = {name: _evaluate(make(), [rank]) for name, make in DENSE_LOSSES.items()}
    torch.save(results, folder / f"rank{rank}.pt")
    dist.destroy_process_group()


def run_two_ranks(folder):
    """What each loss makes of each rank's batches in two processes that talk by gloo."""
    mp.spawn(_run_rank, args=(folder,), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]
