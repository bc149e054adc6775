"""A detector's skeleton, two cascade stages with ECM, to train in one process or on two ranks."""

from functools import partial

import torch
from detectron2.engine import SimpleTrainer
from detectron2.engine.defaults import create_ddp_model
from support.loss_tester import learn_and_compute
from support.two_ranks import run_two_trainers
from torch import nn

from rankdet.engine.checkpoint import Checkpointer, ensure_checkpoint
from rankdet.engine.hooks import BackgroundRatioHook, FiniteLossHook
from rankdet.losses.ecm import ECMLoss

NUM_CLASSES = 3


class TwoStageToy(nn.Module):
    """Gives every proposal the same logits; stage 1 sees the first half of an image's proposals."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Linear(1, NUM_CLASSES + 1)
        self.stages = nn.ModuleList(ECMLoss([50, 20, 1]) for _ in range(2))

    def forward(self, images):
        losses = {}
        for index, stage in enumerate(self.stages):
            labels = torch.cat([x["labels"][: len(x["labels"]) // (index + 1)] for x in images])
            logits = self.logits(torch.ones(len(labels), 1)) * images[0].get("scale", 1.0)
            losses[f"loss_stage{index}"] = learn_and_compute(stage, logits, labels)
        return losses


def image(image_id, labels, **extra):
    return {"image_id": image_id, "labels": torch.tensor(labels, dtype=torch.int64), **extra}


def train_toy(folder, iterations, num_measured):
    """Train on the batches of images in ``iterations``; gives model and trainer."""
    torch.manual_seed(0)
    model = TwoStageToy()
    ddp = create_ddp_model(model, device_ids=None, broadcast_buffers=False)
    trainer = SimpleTrainer(ddp, iterations, torch.optim.SGD(model.parameters(), lr=0.1))
    checkpointer = Checkpointer(model, str(folder), trainer=trainer)
    trainer.register_hooks([FiniteLossHook(checkpointer), BackgroundRatioHook(num_measured)])
    trainer.train(0, len(iterations))
    return model, trainer


def train_rank(folder, batches_of_ranks, num_measured, rank):
    """Train on this rank's batches; gives the weights, or the message of what stopped it."""
    try:
        model, _ = train_toy(folder, batches_of_ranks[rank], num_measured)
    except FloatingPointError as error:
        return str(error)
    return model.state_dict()


def train_on_two_ranks(folder, batches_of_ranks, num_measured):
    """Run :func:`train_rank` on two ranks; gives the result of each."""
    return run_two_trainers(partial(train_rank, folder, batches_of_ranks, num_measured), folder)


def miss_checkpoint(args):
    """Raise one of rankdet's own errors."""
    ensure_checkpoint("")
