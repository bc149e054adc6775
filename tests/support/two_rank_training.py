"""Training of a small detector in one process or on two ranks."""

from functools import partial

import torch
from detectron2.engine import SimpleTrainer
from detectron2.engine.defaults import create_ddp_model
from support.tiny_two_stage import make_image
from support.two_ranks import run_two_trainers

# In the second iteration no image of rank 1 has an object.
BATCHES = [
    [[make_image([0, 1], 1), make_image([2], 2)], [make_image([1], 3)]],
    [[make_image([2], 5), make_image([], 6)], [make_image([], 7)]],
]


def changes(make_model, batches):
    """What training on these batches, which other ranks may take part in, adds to the weights."""
    model = make_model()
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    ddp = create_ddp_model(model, device_ids=None, broadcast_buffers=False)
    trainer = SimpleTrainer(ddp, batches, torch.optim.SGD(model.parameters(), lr=1e-2))
    trainer.train(0, len(batches))
    return {name: weight - start[name] for name, weight in model.state_dict().items()}


def changes_of_rank(make_model, rank):
    """The same on this rank's batches."""
    return changes(make_model, BATCHES[rank])


def changes_on_two_ranks(make_model, folder):
    """:func:`changes_of_rank` of each of two ranks that train together."""
    return run_two_trainers(partial(changes_of_rank, make_model), folder)


def changes_in_one_process(make_model):
    """Those of one process on the images of both ranks."""
    return changes(make_model, [one + other for one, other in zip(*BATCHES, strict=True)])
