"""Online label smoothing on the batches of two ranks, in a process each or together in one."""

from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
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
        total = len(labels) * loss(logits, labels)
        results.append((total.detach(), torch.autograd.grad(total, logits)[0]))
    return results


def run_rank(rank, folder):
    """Train on this rank's batches; save what became of the loss."""
    store = f"file://{folder}/store"
    limit = timedelta(seconds=60)  # so that ranks that wait for each other fail
    dist.init_process_group("gloo", store, timeout=limit, rank=rank, world_size=2)
    loss = make_loss()
    values = train(loss, batches_of_rank(rank))
    torch.save({"state": loss.state_dict(), "values": values}, folder / f"rank{rank}.pt")
    dist.destroy_process_group()


def run_two_ranks(folder):
    """Run :func:`run_rank` in two processes that talk by gloo; gives what each saved."""
    mp.spawn(run_rank, (folder,), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]
