"""PCB losses on the batches of two ranks, each in a process of its own, or together in one."""

import torch
import torch.distributed as dist
from losses.pcb_reference import random_batches

from rankdet.losses import EQLv2Loss, SeesawLoss, SoftmaxCrossEntropyLoss
from rankdet.losses.confusion import PairwiseConfusion
from rankdet.losses.pcb import PCBLoss

C = 5
BASES = [SoftmaxCrossEntropyLoss, SeesawLoss, EQLv2Loss]
NUM_CLASSES_LVIS = 1203
# Classes of the samples of each rank, by iteration: three rows move, then two, then none.
LVIS_LABELS = [[[3, 7, 7, 1203], [5, 6], [1203]], [[7, 900], [1203, 1203], []]]


def make_loss(base):
    return PCBLoss(base(C), start_epoch=2, iterations_per_epoch=1).double()


def batches_of_rank(num_logits, rank):
    """Five iterations: no foreground on rank 1 in the second, on any in the third, then N = 0."""
    batches = list(random_batches(5, C, num_logits, seed=rank))
    logits = [x.detach() for x, _ in batches]
    labels = [y for _, y in batches]
    if rank == 1:
        labels[1] = torch.full_like(labels[1], C)
        logits[3], labels[3] = logits[3][:0], labels[3][:0]
    labels[2] = torch.full_like(labels[2], C)
    return list(zip(logits, labels, strict=True))


def train(loss, batches):
    """Sums (not means) of the losses of two steps, and their gradients, by iteration."""
    results = []
    for logits, labels in batches:
        logits = logits.clone().requires_grad_()
        if loss.training:
            loss.observe(logits, labels)
        boxes = torch.zeros(2, int((labels < C).sum()))
        steps = [loss.losses_of_step(step, 2, logits, labels, *boxes) for step in range(2)]
        total = len(labels) * sum(step["loss_cls"] for step in steps)
        results.append((total.detach(), torch.autograd.grad(total, logits)[0]))
    return results


def bytes_of_updates(rank):
    """Bytes that this rank hands to collectives in each update with LVIS's classes."""
    sizes, all_reduce = [], dist.all_reduce

    def count(tensor):
        sizes[-1] += tensor.numel() * tensor.element_size()
        all_reduce(tensor)

    confusion = PairwiseConfusion(NUM_CLASSES_LVIS)
    dist.all_reduce = count
    for labels in LVIS_LABELS[rank]:
        sizes.append(0)
        probs = torch.full((len(labels), NUM_CLASSES_LVIS), 1 / NUM_CLASSES_LVIS)
        confusion.update(probs, torch.tensor(labels, dtype=torch.int64))
    dist.all_reduce = all_reduce
    return {"bytes": sizes, "known": confusion.is_known.nonzero().squeeze(1).tolist()}


def train_rank(rank):
    """Train each loss on this rank's batches; gives what became of them."""
    results = {}
    for base in BASES:
        loss = make_loss(base)
        values = train(loss, batches_of_rank(loss.num_logits, rank))
        results[base.__name__] = {"state": loss.state_dict(), "values": values}
    return {**results, "lvis": bytes_of_updates(rank)}
