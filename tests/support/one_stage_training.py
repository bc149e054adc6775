"""Training of a small FCOS in one process or on two ranks."""

import torch
from detectron2.engine import SimpleTrainer
from detectron2.engine.defaults import create_ddp_model
from support.tiny_one_stage import make_fcos
from support.tiny_two_stage import make_image
from support.two_ranks import run_two_trainers

# In the second iteration no image of rank 1 has an object.
BATCHES = [
    [[make_image([0, 1], 1), make_image([2], 2)], [make_image([1], 3)]],
    [[make_image([2], 5), make_image([], 6)], [make_image([], 7)]],
]


def trained_weights(batches):
    """Weights of the detector after these batches, which other ranks may take part in."""
    model = make_fcos()
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
