"""Checkpoints that survive being killed and refuse a model of other classes."""

import os
from pathlib import Path
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer


class Checkpointer(DetectionCheckpointer):
    """Detectron2's checkpointer with two more guarantees.

    A run killed at any moment leaves a ``last_checkpoint`` that names a complete file. And a run
    that continues or judges a model (``is_strict``) loads all of its weights or none: Detectron2
    skips weights of another shape with a warning, which is what fine-tuning wants, and what makes
    an evaluation meaningless.
    """

    is_strict = False

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name the file to resume from, in one atomic step."""
        tag = Path(self.save_dir, "last_checkpoint")
        temporary = tag.with_suffix(".tmp")
        temporary.write_text(last_filename_basename)
        os.replace(temporary, tag)

    def load_strictly(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Load a checkpoint of exactly this model.

        Args:
            path: file to load.
            checkpointables: names of what to restore besides the model; None: everything.

        Returns:
            What the checkpoint holds besides.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is of a model with other layers, for example another class count.
        """
        if not path:
            raise FileNotFoundError(
                "there are no weights to load; set train.init_checkpoint=FILE, or use --resume "
                "with a train.output_dir that holds checkpoints."
            )
        self.is_strict = True
        try:
            return self.load(path, checkpointables)
        finally:
            self.is_strict = False

    def _load_model(self, checkpoint: Any) -> Any:
        incompatible = super()._load_model(checkpoint)
        if self.is_strict and incompatible.incorrect_shapes:
            name, found, expected = incompatible.incorrect_shapes[0]
            raise ValueError(
                f"the checkpoint does not fit the model: {name} has shape {found} in the "
                f"checkpoint and {expected} in the model ({len(incompatible.incorrect_shapes)} "
                "such layers); use the config and the classes that it was trained with."
            )
        if self.is_strict and incompatible.missing_keys:
            raise ValueError(
                f"the checkpoint does not fit the model: it lacks {incompatible.missing_keys[0]} "
                f"({len(incompatible.missing_keys)} such weights); use the config that it was "
                "trained with."
            )
        return incompatible
