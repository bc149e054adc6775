"""Training of small detectors with ranking losses, in one process or on two ranks."""

from functools import partial

import torch
from detectron2.engine import HookBase, SimpleTrainer
from detectron2.engine.defaults import create_ddp_model
from detectron2.utils.events import EventStorage
from support.tiny_two_stage import make_detector, make_image
from support.two_ranks import run_two_trainers

from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.rank_sort import RankSortLoss

PERIOD = 2
LOSSES = {
    "RS": RankSortLoss,
    "aLRP": lambda num_classes: ALRPLoss(num_classes, iterations_per_epoch=PERIOD),
}
# In the second iteration no image of rank 1 has an object.
BATCHES = [
    [[make_image([0, 1], 1), make_image([2], 2)], [make_image([1], 3)], [make_image([0], 4)]],
    [[make_image([2], 5), make_image([], 6)], [make_image([], 7)], [make_image([1, 2], 8)]],
]


def losses_of_batch(name, batch):
    """Losses of the untrained detector, alone in its process."""
    with EventStorage():
        return {key: x.item() for key, x in make_detector(LOSSES[name])(batch).items()}


class Recorder(HookBase):
    """Notes the losses of each iteration, and aLRP's terms in each of its heads."""

    def before_train(self):
        self.losses, self.terms = [], {}
        self.trainer.model.register_forward_hook(self._note_losses)
        for head, module in self.trainer.model.module.named_modules():
            if isinstance(module, ALRPLoss):
                module.losses = partial(self._note_terms, head, module, module.losses)

    def _note_terms(self, head, loss, ask, *inputs):
        losses = ask(*inputs)
        localization = losses["loss_box_reg"].item() / loss.box_weight.item()
        self.terms.setdefault(head, []).append([losses["loss_cls"].item(), localization])
        return losses

    def _note_losses(self, model, args, losses):
        self.losses.append({key: x.item() for key, x in losses.items()})


def train_rank(rank):
    """Train a detector of each loss on this rank's batches; gives what became of them."""
    results = {}
    for name, make_loss in LOSSES.items():
        model = make_detector(make_loss)
        ddp = create_ddp_model(model, device_ids=None, broadcast_buffers=False)
        batches = BATCHES[rank]
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        trainer, recorder = SimpleTrainer(ddp, batches, optimizer), Recorder()
        trainer.register_hooks([recorder])
        trainer.train(0, len(batches))
        results[name] = {
            "state": model.state_dict(),
            "losses": recorder.losses,
            "terms": recorder.terms,
        }
    return results


def train_on_two_ranks(folder):
    """Run :func:`train_rank` on two ranks; gives the results of each."""
    return run_two_trainers(train_rank, folder)
