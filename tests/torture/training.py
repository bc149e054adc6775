"""A training in a process of its own, forked from this one, which has imported everything."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from support import forked_run
from support.smoke_run import CONFIG, OVERRIDES

import rankdet.engine.training

MAX_ITER, PERIOD = 12, 3
WORKERS = (0, 1, 2, 4)


BRIGHTNESS = "detectron2.data.transforms.RandomBrightness"


SETTINGS = (
    *OVERRIDES,
    f"train.max_iter={MAX_ITER}",
    f"train.checkpointer.period={PERIOD}",
    'dataloader.evaluator.tasks=["bbox"]',
    "dataloader.train.mapper.augmentations="
    f"[{{_target_: {BRIGHTNESS}, intensity_min: 0.5, intensity_max: 1.5}}]",
)


Hurt = Callable[[], None]
"""What is done to the process of a training before it starts."""


class Training:
    """A training in a folder, started as often as it takes.

    Args:
        folder: ``train.output_dir``.
        num_workers: of its data loader.
        max_iter: its iterations.
        notes: beside it are what the training prints and the images that it sees; None: the folder.
    """

    def __init__(
        self,
        folder: Path,
        num_workers: int = 0,
        max_iter: int = MAX_ITER,
        notes: Path | None = None,
    ) -> None:
        self.folder = folder
        self.notes = notes or folder
        self.num_workers = num_workers
        self.max_iter = max_iter

    @property
    def console(self) -> str:
        """What the last start has printed."""
        return self.notes.with_suffix(".console").read_text(errors="replace")

    def start(self, hurt: Hurt = lambda: None, *, resume: bool = True) -> int:
        """Fork the process of a start; gives its id."""
        own = (
            f"train.output_dir={self.folder}",
            f"train.max_iter={self.max_iter}",
            f"dataloader.train.num_workers={self.num_workers}",
        )
        flags = ["--resume"] if resume else []
        arguments = ["--config-file", CONFIG, *flags, *SETTINGS, *own]
        images = self.notes.with_suffix(".images")

        def prepare() -> None:
            record_images(images)
            hurt()

        return forked_run.start(arguments, self.notes.with_suffix(".console"), prepare)

    def run(self, hurt: Hurt = lambda: None, *, resume: bool = True) -> int:
        """Start, and wait for the end: the exit status, negative for a signal."""
        return forked_run.wait(self.start(hurt, resume=resume))

    def state(self) -> object:
        """What the final checkpoint holds."""
        return torch.load(self.folder / "model_final.pth", weights_only=True)

    def images(self) -> dict[int, list[int]]:
        """Iteration to the images that the weights rest on: those of its last time."""
        lines = self.notes.with_suffix(".images").read_text().splitlines()
        return {iteration: ids for iteration, ids in map(json.loads, lines)}

    def iterations(self) -> list[int]:
        """The iteration of each line of the metrics."""
        lines = (self.folder / "metrics.json").read_text().splitlines()
        return [json.loads(line)["iteration"] for line in lines]

    def results(self) -> object:
        """The results of the evaluation."""
        return json.loads((self.folder / "results.json").read_text())


def record_images(path: Path) -> None:
    """Have a training write the images of each iteration to a file."""
    original = rankdet.engine.training.training_batches

    def recorded(*args):
        stream = original(*args)
        return Recorded(stream, path)

    rankdet.engine.training.training_batches = recorded


class Recorded:
    """Batches that leave a line with the ids of their images."""

    def __init__(self, stream, path: Path) -> None:
        self.dataset = stream
        self.path = path

    def __iter__(self) -> Iterator[list[dict]]:
        for iteration, batch in enumerate(self.dataset, self.dataset.start_iter):
            with self.path.open("a") as file:
                file.write(json.dumps([iteration, [x["image_id"] for x in batch]]) + "\n")
            yield batch
