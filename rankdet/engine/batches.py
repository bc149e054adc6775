"""The stream of training batches, which a resumed run continues where it was interrupted."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from detectron2.config import instantiate
from detectron2.data import ToIterableDataset
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from omegaconf import DictConfig
from torch.utils.data import Sampler

Batch = list[dict[str, Any]]


def training_batches(cfg: DictConfig, seed: int, start_iter: int) -> Iterator[Batch]:
    """Give the batches of a training from ``start_iter`` on, without end.

    Before each batch is handed out, all random number generators are seeded anew, so that the
    sampling of anchors and proposals depends on seed, rank and iteration only. A run that is
    interrupted and resumed so gives the weights of one that is not, bit for bit, if its images are
    all wide or all high, its augmentations draw nothing, and at most one worker loads them (more
    take turns, and each starts anew). Otherwise a few images change places, and augmentations
    draw other numbers.

    Args:
        cfg: the config's ``dataloader.train``.
        seed: the config's ``train.seed``.
        start_iter: iterations that the training has behind it.

    Returns:
        Iterator over this rank's batches.
    """
    seed_all_rng(_mix(seed))  # Detectron2's samplers draw the seed of their shuffling from NumPy.
    loader = instantiate(cfg)
    _skip_images(loader, start_iter * cfg.total_batch_size // comm.get_world_size())
    return _seed_iterations(loader, seed, start_iter)


def _seed_iterations(loader: Iterable[Batch], seed: int, start_iter: int) -> Iterator[Batch]:
    # Workers seed themselves from the state that the generators are in at the first batch.
    seed_all_rng(_mix(seed, comm.get_rank(), start_iter))
    for iteration, batch in enumerate(loader, start_iter):
        seed_all_rng(_mix(seed, comm.get_rank(), iteration))
        yield batch


def _mix(*numbers: int) -> int:
    """Hash into 32 bits, so that no two ranks or runs share their random numbers."""
    return random.Random(str(numbers)).getrandbits(32)


def _skip_images(loader: Any, num_images: int) -> None:
    """Drop the start of the index stream, which is cheap: no image is loaded."""
    stage = loader
    while hasattr(stage, "dataset"):
        stage = stage.dataset
        if isinstance(stage, ToIterableDataset):
            stage.sampler = _LaterSampler(stage.sampler, num_images)


class _LaterSampler(Sampler[int]):
    """A sampler without its first indices."""

    def __init__(self, sampler: Sampler[int], num_skipped: int) -> None:
        self.sampler = sampler
        self.num_skipped = num_skipped

    def __iter__(self) -> Iterator[int]:
        return islice(iter(self.sampler), self.num_skipped, None)
