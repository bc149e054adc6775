"""Training of a small Co-DETR in one of two processes."""

import torch
from detectron2.engine import SimpleTrainer
from detectron2.engine.defaults import create_ddp_model
from modeling.detr.co_detr_toy import make_co_detr, make_inputs

# No image of rank 1 has an object in the second iteration, and no image at all in the third.
BATCHES = [[[[0, 1], [2]], [[1], []], [[], []]], [[[2, 2], [0]], [[], []], [[], []]]]


def train_rank(rank):
    """Gradients after each iteration, and the weights in the end."""
    model = make_co_detr()
    ddp = create_ddp_model(model, device_ids=None, broadcast_buffers=False)
    batches = [make_inputs(classes) for classes in BATCHES[rank]]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    trainer = SimpleTrainer(ddp, batches, optimizer)
    gradients = []
    step = optimizer.step
    optimizer.step = lambda: (
        gradients.append([x.grad.clone() for x in model.parameters()]) or step()
    )
    trainer.train(0, len(batches))
    return gradients, model.state_dict()
