"""Dense losses on the batches of two ranks, each in a process of its own, or together in one."""

import torch
from losses.dense_reference import DENSE_LOSSES, NUM_CLASSES

from rankdet.losses import IGNORED

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


def evaluate(*ranks):
    """What each loss makes of the batches of these ranks together."""
    return {name: _evaluate(make(), ranks) for name, make in DENSE_LOSSES.items()}
