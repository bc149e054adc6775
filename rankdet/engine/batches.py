"""The stream of training batches. A resumed run continues it where it was interrupted."""

import logging
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from detectron2.config import instantiate
from detectron2.data import DatasetFromList, build_detection_train_loader
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.registry import locate
from detectron2.utils.serialize import PicklableWrapper
from omegaconf import DictConfig
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

logger = logging.getLogger(__name__)

Record = dict[str, Any]
Batch = list[Record]
Place = tuple[int, int]
"""Position in the stream of a rank, and index of the image that stands there."""

MAX_REFUSALS = 100
"""The training ends when the mapper refuses this many images in a row."""


class BatchStream:
    """The batches of a loader from an iteration on, each with random numbers of its own.

    Args:
        dataset: the loader. The name lets :func:`epoch_length` look inside.
        seed: the config's ``train.seed``.
        start_iter: iteration of the first batch.
    """

    def __init__(self, dataset: Iterable[Batch], seed: int, start_iter: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.start_iter = start_iter

    def __iter__(self) -> Iterator[Batch]:
        seed_all_rng(_mix(self.seed, comm.get_rank()))  # for a sampler that draws its seed now
        for iteration, batch in enumerate(self.dataset, self.start_iter):
            seed_all_rng(_mix(self.seed, comm.get_rank(), iteration))
            yield batch


def training_batches(cfg: DictConfig, seed: int, start_iter: int) -> BatchStream:
    """Yield the batches of a training from ``start_iter`` on, without end.

    Before each batch is handed out, all random number generators are seeded, so that the
    sampling of anchors and proposals depends on seed, rank and iteration only. The images and
    their augmentations depend on seed, rank and position in the stream only, see
    :func:`ordered_train_loader`. So an interrupted and resumed run gives the same weights as an
    uninterrupted one, bit for bit, with any number of workers.

    Args:
        cfg: the config's ``dataloader.train``: Detectron2's ``build_detection_train_loader``, or
            another loader, which starts from its first batch when the run is resumed.
        seed: the config's ``train.seed``.
        start_iter: iterations that are done.

    Returns:
        This rank's batches.
    """
    seed_all_rng(_mix(seed))  # Detectron2's samplers draw the seed of their shuffling from NumPy.
    target = locate(cfg._target_) if isinstance(cfg._target_, str) else cfg._target_
    if target is build_detection_train_loader:
        own = {"_target_": ordered_train_loader, "seed": seed, "start_iter": start_iter}
        loader = instantiate(dict(cfg.items()) | own)
    else:
        loader = instantiate(cfg)
        if start_iter:
            logger.warning(
                "dataloader.train is no build_detection_train_loader of Detectron2: the resumed "
                "run gets its batches from the first one on."
            )
    return BatchStream(loader, seed, start_iter)


def ordered_train_loader(  # noqa: PLR0913 - the arguments are Detectron2's, and two more
    dataset: Sequence[Record] | Dataset[Record],
    *,
    mapper: Any,
    sampler: Sampler[int] | None = None,
    total_batch_size: int,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    collate_fn: Any = None,
    drop_last: bool = True,
    seed: int,
    start_iter: int,
    **loader_options: Any,
) -> DataLoader[Record]:
    """Load the batches of Detectron2's ``build_detection_train_loader``, with an order of its own.

    Which images come together follows from the indices of the sampler and the sizes in the data
    set, before an image is loaded. Detectron2 groups the images that its workers have loaded; that
    depends on the number of workers, and an interruption loses it. Each image is mapped with random
    numbers of its own, so that the result does not depend on the worker.

    Args:
        dataset: records in Detectron2's format, or a data set of them.
        mapper: makes the model's input from a record. If it returns None, another record is drawn
            at random.
        sampler: of indices, without end; None: shuffle the data set epoch after epoch.
        total_batch_size: images of a batch over all ranks.
        aspect_ratio_grouping: no batch mixes images that are wider than high with others.
        num_workers: processes that load images.
        collate_fn: makes a batch from a list; None: the list is the batch.
        drop_last: leave out the incomplete batches at the end of a sampler that ends.
        seed: of the random numbers for mapping.
        start_iter: batches to skip.
        loader_options: for PyTorch's ``DataLoader``.

    Returns:
        This rank's batches from ``start_iter`` on.

    Raises:
        ValueError: the batch can't be shared among the ranks, sizes of images are unknown, or the
            sampler is none, or the data set has no indices.
    """
    world_size = comm.get_world_size()
    if total_batch_size % world_size:
        raise ValueError(
            f"dataloader.train.total_batch_size={total_batch_size} can't be shared among "
            f"{world_size} processes; give a multiple of {world_size}."
        )
    if sampler is not None and not isinstance(sampler, Sampler):
        raise ValueError(f"dataloader.train.sampler is {sampler!r}; give a Sampler of PyTorch.")
    if isinstance(dataset, IterableDataset):
        raise ValueError(
            "dataloader.train.dataset has no indices (IterableDataset), so that a resumed run "
            "could not go on where it was; give a list or a data set with __getitem__, or a loader "
            "of your own as dataloader.train."
        )
    is_wide = _is_wide(dataset) if aspect_ratio_grouping else None
    images: Any = DatasetFromList(dataset, copy=False) if isinstance(dataset, list) else dataset
    places = _Places(
        sampler if sampler is not None else TrainingSampler(len(images)),
        total_batch_size // world_size,
        is_wide=is_wide,
        drop_last=drop_last,
        start_iter=start_iter,
    )
    return DataLoader(
        _SeededImages(images, mapper, seed),
        batch_sampler=places,
        num_workers=num_workers,
        collate_fn=trivial_batch_collator if collate_fn is None else collate_fn,
        **loader_options,
    )


class _SeededImages(Dataset[Record]):
    """The images of a data set by their place, mapped with random numbers that belong to it."""

    def __init__(self, images: Any, mapper: Any, seed: int) -> None:
        self.images = images
        self.mapper = PicklableWrapper(mapper) if mapper is not None else None
        self.seeds = (seed, comm.get_rank())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: Place) -> Record:
        position, index = place
        seed_all_rng(_mix(*self.seeds, position, 0))
        for _ in range(MAX_REFUSALS):
            image = self.images[index]
            mapped = image if self.mapper is None else self.mapper(image)
            if mapped is not None:
                record: Record = mapped
                return record
            index = random.randrange(len(self))
        raise ValueError(
            f"dataloader.train.mapper gives None for {MAX_REFUSALS} images in a row; check the "
            "images and the mapper."
        )


class _Places(Sampler[list[Place]]):
    """The places of the images of each batch, from a batch on."""

    def __init__(
        self,
        indices: Iterable[int],
        batch_size: int,
        *,
        is_wide: list[bool] | None,
        drop_last: bool,
        start_iter: int,
    ) -> None:
        self.indices = indices
        self.batch_size = batch_size
        self.is_wide = is_wide
        self.drop_last = drop_last
        self.start_iter = start_iter

    def __iter__(self) -> Iterator[list[Place]]:
        return islice(self._batches(), self.start_iter, None)

    def _batches(self) -> Iterator[list[Place]]:
        waiting: dict[bool, list[Place]] = {False: [], True: []}
        for position, index in enumerate(self.indices):
            group = waiting[self.is_wide is not None and self.is_wide[index]]
            group.append((position, int(index)))
            if len(group) == self.batch_size:
                yield group[:]
                group.clear()
        if not self.drop_last:
            yield from filter(None, waiting.values())


def _is_wide(dataset: Any) -> list[bool]:
    """For each image, whether it is wider than high."""
    try:
        return [image["width"] > image["height"] for image in dataset]
    except (KeyError, TypeError) as error:
        raise ValueError(
            "an image of the training set has no width or height, by which aspect_ratio_grouping "
            "makes batches; add them, or set dataloader.train.aspect_ratio_grouping=False."
        ) from error


def epoch_length(loader: Any) -> int:
    """Iterations in which all ranks together see as many images as the data set has.

    Args:
        loader: batches, from :func:`training_batches`, or of PyTorch's ``DataLoader``.

    Returns:
        Length of the data set over the batch size of all ranks, rounded up.

    Raises:
        ValueError: the data set or the batches have no length.
    """
    stage, batch_size = loader, None
    while hasattr(stage, "dataset"):
        sampler = getattr(stage, "batch_sampler", None)
        batch_size = batch_size or getattr(sampler or stage, "batch_size", None)
        stage = stage.dataset
    if batch_size is None or not hasattr(stage, "__len__"):
        raise ValueError(
            f"the data loader {type(loader).__name__} does not tell the length of an epoch; give "
            "the loss that asks for it (aLRP, online label smoothing, PCB) iterations_per_epoch."
        )
    images_per_batch: int = batch_size * comm.get_world_size()
    return math.ceil(len(stage) / images_per_batch)


def _mix(*numbers: int) -> int:
    """Hash into 32 bits, so that no two ranks or runs share their random numbers."""
    return random.Random(str(numbers)).getrandbits(32)
