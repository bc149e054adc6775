"""The stream of training batches, which a resumed run continues where it was interrupted."""

import math
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


class BatchStream:
    """The batches of a loader from an iteration on, each with random numbers of its own.

    Args:
        dataset: the loader; named so that :func:`epoch_length` can look through.
        seed: the config's ``train.seed``.
        start_iter: iteration of the first batch.
    """

    def __init__(self, dataset: Iterable[Batch], seed: int, start_iter: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.start_iter = start_iter

    def __iter__(self) -> Iterator[Batch]:
        # Workers seed themselves from the state that the generators are in at the first batch.
        seed_all_rng(_mix(self.seed, comm.get_rank(), self.start_iter))
        for iteration, batch in enumerate(self.dataset, self.start_iter):
            seed_all_rng(_mix(self.seed, comm.get_rank(), iteration))
            yield batch


def training_batches(cfg: DictConfig, seed: int, start_iter: int) -> BatchStream:
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
        This rank's batches.
    """
    seed_all_rng(_mix(seed))  # Detectron2's samplers draw the seed of their shuffling from NumPy.
    loader = instantiate(cfg)
    _skip_images(loader, start_iter * cfg.total_batch_size // comm.get_world_size())
    return BatchStream(loader, seed, start_iter)


def epoch_length(loader: Any) -> int:
    """Iterations in which all ranks together see as many images as the data set has.

    Args:
        loader: batches, from Detectron2's ``build_detection_train_loader`` or on top of it.

    Returns:
        Length of the data set over the batch size of all ranks, rounded up.

    Raises:
        ValueError: the data set or the batches have no length.
    """
    stage, batch_size = loader, None
    while hasattr(stage, "dataset"):
        batch_size = batch_size or getattr(stage, "batch_size", None)
        stage = stage.dataset
    if batch_size is None or not hasattr(stage, "__len__"):
        raise ValueError(
            f"the data loader {type(loader).__name__} does not tell the length of an epoch; give "
            "the loss that asks for it (aLRP, online label smoothing, PCB) iterations_per_epoch."
        )
    return math.ceil(len(stage) / (batch_size * comm.get_world_size()))


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
