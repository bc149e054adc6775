"""Training of a small transformer detector in one process or on two ranks."""

import torch
from detectron2.engine import SimpleTrainer
from detectron2.engine.defaults import create_ddp_model
from support.one_stage_training import BATCHES
from support.tiny_detr import make_detr
from support.two_ranks import run_two_trainers


def trained_weights(batches):
    """Weights of the detector after these batches, which other ranks may take part in."""
    model = make_detr()
    ddp = create_ddp_model(model, device_ids=None, broadcast_buffers=False)
    trainer = SimpleTrainer(ddp, batches, torch.optim.SGD(model.parameters(), lr=1e-2))
    trainer.train(0, len(batches))
    return model.state_dict()


def train_rank(rank):
    """Train on this rank's batches; gives the weights."""
    return trained_weights(BATCHES[rank])


def train_on_two_ranks(folder):
    """Run :func:`train_rank` on two ranks; gives the weights of each."""
    return run_two_trainers(train_rank, folder)
