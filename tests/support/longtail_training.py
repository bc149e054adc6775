"""Training with the statistics of long-tail losses, in one process or on two ranks."""

import torch
from support.loss_tester import NUM_CLASSES, learn_and_compute, random_batch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rankdet.losses.eql import EQLv2Loss
from rankdet.losses.seesaw import SeesawLoss

LOSSES = {
    "seesaw": lambda: SeesawLoss(NUM_CLASSES),
    "eqlv2": lambda: EQLv2Loss(NUM_CLASSES),
}
# Rows and kind of each rank's batch. Equal numbers of rows, so that the mean over ranks is the
# mean over the union; in the last iteration only the statistics can be compared.
BATCHES = [
    [(9, "mixed"), (9, "background"), (9, "mixed"), (9, "mixed")],
    [(9, "mixed"), (9, "mixed"), (9, "background"), (0, "mixed")],
]


class BiasedLoss(nn.Module):
    """A classifier that learns a bias only."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss
        self.bias = nn.Parameter(torch.zeros(loss.num_logits, dtype=torch.float64))

    def forward(self, logits, labels):
        return learn_and_compute(self.loss, logits + self.bias, labels)


def make_batch(rank, iteration, num_logits):
    num_samples, kind = BATCHES[rank][iteration]
    logits, labels = random_batch(num_samples, num_logits, seed=10 * rank + iteration)
    return logits.detach(), labels if kind == "mixed" else torch.full_like(labels, NUM_CLASSES)


def train(name, ranks, is_parallel=False):
    """Train on the union of these ranks' batches; gives gradients and the state at each step."""
    model = BiasedLoss(LOSSES[name]())
    # Its default, broadcast_buffers=True, sends rank 0's statistics before each iteration.
    step = DistributedDataParallel(model) if is_parallel else model
    record = []
    for iteration in range(len(BATCHES[0])):
        batches = [make_batch(rank, iteration, len(model.bias)) for rank in ranks]
        model.bias.grad = None
        step(*map(torch.cat, zip(*batches, strict=True))).backward()
        record.append((model.bias.grad.clone(), {k: v.clone() for k, v in model.named_buffers()}))
        model.bias.data -= 0.5 * model.bias.grad
    return record


def train_rank(rank):
    """What each loss recorded on the batches of this one of several ranks."""
    return {name: train(name, [rank], is_parallel=True) for name in LOSSES}
