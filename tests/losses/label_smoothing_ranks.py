"""Online label smoothing on the batches of two ranks, in a process each or together in one."""

import torch
from losses.pcb_reference import random_batches

from rankdet.losses.label_smoothing import OnlineLabelSmoothingLoss

C = 4  # Of which 1 / C is exact in float32, too.


def make_loss():
    return OnlineLabelSmoothingLoss(C, iterations_per_epoch=2).double()


def batches_of_rank(rank):
    """Three epochs of two; rank 1 has no foreground in the second iteration, then N = 0."""
    batches = [(x.detach(), y) for x, y in random_batches(6, C, C + 1, seed=rank)]
    if rank == 1:
        batches[1] = (batches[1][0], torch.full_like(batches[1][1], C))
        batches[3] = tuple(x[:0] for x in batches[3])
    return batches


def train(loss, batches):
    """Sums (not means) of the losses and their gradients, by iteration."""
    results = []
    for logits, labels in batches:
        logits = logits.clone().requires_grad_()
        if loss.training:
            loss.observe(logits, labels)
        total = len(labels) * loss(logits, labels)
        results.append((total.detach(), torch.autograd.grad(total, logits)[0]))
    return results


def train_rank(rank):
    """Train on this rank's batches; gives what became of the loss."""
    loss = make_loss()
    values = train(loss, batches_of_rank(rank))
    return {"state": loss.state_dict(), "values": values}
