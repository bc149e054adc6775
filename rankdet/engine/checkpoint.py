"""Checkpoints that survive being killed and refuse a model of other classes."""

import pickle
import re
import shutil
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.file_io import PathManager
from torch import Tensor

from rankdet.data.atomic_file import atomic_file, write_atomically
from rankdet.engine.imagenet_weights import backbone_weights
from rankdet.engine.renamed import hint_of_weight

FINAL = "model_final"
"""Name of the checkpoint after the last iteration, as Detectron2's hook gives it."""

NON_FINITE = "non_finite"
"""Name of the checkpoint that a run writes when its loss is not finite."""


def last_checkpoint(folder: str) -> str | None:
    """Path of the checkpoint that a run in ``folder`` continues from; None: there is none.

    Raises:
        ValueError: what the run's ``last_checkpoint`` names is no .pth file beside it.
    """
    tag = Path(folder, "last_checkpoint")
    if not tag.is_file():
        return None
    name = tag.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch(r"[^/\\\0\n]+\.pth", name):
        raise ValueError(
            f"{tag} names {name[:80]!r}, but has to name a .pth file of its folder; write one into "
            "it, or delete it."
        )
    return str(tag.with_name(name))


def ensure_checkpoint(path: str) -> str:
    """Check that there is a file to load, before time is spent on building the model.

    Args:
        path: a file, or anything that Detectron2 can download.

    Returns:
        The path.

    Raises:
        FileNotFoundError: no path is given, there is no such file, or it can't be downloaded.
    """
    if not path:
        raise FileNotFoundError(
            "there are no weights to load; set train.init_checkpoint=FILE, or use --resume "
            "with a train.output_dir that holds checkpoints."
        )
    if not PathManager.isfile(_fetched(path) if "://" in path else path):
        raise FileNotFoundError(
            f"the checkpoint {path!r} does not exist; set train.init_checkpoint to a file, or "
            "train.output_dir to the folder of the run."
        )
    return path


def _fetched(url: str) -> str:
    """Where Detectron2 keeps what it downloads."""
    try:
        return str(PathManager.get_local_path(url))
    except Exception as error:  # Of any kind: each of its handlers has its own.
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FileNotFoundError(
            f"the checkpoint {url!r} can't be downloaded ({reason}); get it in another way, and "
            "set train.init_checkpoint to the file."
        ) from error


class Checkpointer(DetectionCheckpointer):
    """Detectron2's checkpointer with two more guarantees, and ImageNet weights of others.

    A run killed at any moment, and a machine that stops, leave a ``last_checkpoint`` that names a
    complete file to continue from: files get their names when they are on the disk. And a run
    that continues or judges a model loads all of its weights or none (:meth:`load_strictly`):
    Detectron2 skips weights of another shape with a warning, which is what fine-tuning wants, and
    what makes an evaluation meaningless. Which weights of others it reads,
    :mod:`rankdet.engine.imagenet_weights` says.
    """

    is_strict = False

    def save(self, name: str, **extra: Any) -> None:
        """Write model, checkpointables and ``extra`` to ``name.pth``, whole or not at all.

        Raises:
            OSError: it can't be written, for instance on a full disk.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        parts = {key: part.state_dict() for key, part in self.checkpointables.items()}
        path = Path(self.save_dir, f"{name}.pth")
        self.logger.info("Saving checkpoint to %s", path)
        try:
            with atomic_file(path, "wb") as file:
                torch.save({"model": self.model.state_dict(), **parts, **extra}, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error  # PyTorch hides what the file has said.
            raise
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name the file to resume from."""
        if Path(last_filename_basename).stem != NON_FINITE:
            write_atomically(Path(self.save_dir, "last_checkpoint"), last_filename_basename)

    def copy_as_final(self, path: str) -> None:
        """Give the last checkpoint of a training the name of the final one, which was not written.

        Args:
            path: checkpoint of the last iteration.
        """
        if not self.save_to_disk or Path(path).stem == FINAL:
            return
        final = Path(self.save_dir, f"{FINAL}.pth")
        with open(path, "rb") as source, atomic_file(final, "wb") as target:
            shutil.copyfileobj(source, target)
        self.tag_last_checkpoint(final.name)

    def load_strictly(self, path: str) -> dict[str, Any]:
        """Load a checkpoint of exactly this model.

        Args:
            path: file to load.

        Returns:
            What the checkpoint holds besides.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or of a model with other layers or another class count.
        """
        self.is_strict = True
        try:
            rest: dict[str, Any] = self.load(ensure_checkpoint(path))
            return rest
        finally:
            self.is_strict = False

    def get_checkpoint_file(self) -> str:
        """Path of the checkpoint to resume from; empty: there is none."""
        return last_checkpoint(self.save_dir) or ""

    def _load_file(self, filename: str) -> Any:
        read = _READERS.get(Path(filename).suffix) or super()._load_file
        try:
            loaded = read(filename)
            if not all(map(_is_weight, loaded["model"].items())):
                raise TypeError("the values of the model are no arrays")
        except Exception as error:  # Damaged and hostile files make the readers raise anything.
            reason = type(error).__name__
            if isinstance(error, pickle.UnpicklingError):
                reason += ": it is cut short, or holds more than arrays and plain values"
            raise ValueError(
                f"{filename} is no checkpoint, or damaged ({reason}); give another."
            ) from error
        return _of_backbone(loaded) or loaded

    def _torch_load(self, filename: str) -> Any:
        return torch.load(filename, map_location="cpu", weights_only=True)

    def _load_model(self, checkpoint: Any) -> Any:
        weights, found = self.model.state_dict(), checkpoint["model"]
        if checkpoint.get("__author__") == _OTHERS:
            _check_shapes(found, weights)
        incompatible = super()._load_model(checkpoint)
        if self.is_strict:
            _raise_for(incompatible)
        elif found and not weights.keys() - set(incompatible.missing_keys):
            _raise_for_strangers(list(found))
        return incompatible


class _ArraysUnpickler(pickle.Unpickler):
    """Reads a pickle of NumPy arrays and plain values; what would run code, it refuses."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may call."""
        if (module, name) not in _ARRAY_PARTS:
            raise pickle.UnpicklingError(f"it holds {module}.{name}")
        return _ARRAY_PARTS[module, name]


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """Bytes as Python 3 pickles them for Python 2, which is always by latin1."""
    return text.encode("latin1")


_ARRAY_PARTS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode_latin1,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # The two names of NumPy's own module, before and since version 2.
    **{
        (f"numpy.{core}.{file}", name): getattr(getattr(vars(np)["_core"], file), name)
        for core in ("core", "_core")
        for file, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    },
}


def _read_pickle(filename: str) -> dict[str, Any]:
    """Weights of Detectron2's model zoo, or of Caffe2, whose names Detectron2 translates."""
    with open(filename, "rb") as file:
        content = _ArraysUnpickler(file, encoding="latin1").load()
    if "model" in content and "__author__" in content:
        return dict(content)
    weights = content.get("blobs", content)
    weights = {name: value for name, value in weights.items() if not name.endswith("_momentum")}
    return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}


def _read_pycls(filename: str) -> dict[str, Any]:
    """Weights of pycls."""
    content = torch.load(filename, map_location="cpu", weights_only=True)["model_state"]
    weights = {k: v for k, v in content.items() if not k.endswith("num_batches_tracked")}
    return {"model": weights, "__author__": "pycls", "matching_heuristics": True}


def _of_backbone(loaded: Any) -> dict[str, Any] | None:
    """The same weights where they are of a backbone alone and of other names than Detectron2's."""
    weights = backbone_weights(loaded["model"])
    return weights and {"model": weights, "__author__": _OTHERS, "matching_heuristics": True}


_OTHERS = "others"
_READERS = {".pkl": _read_pickle, ".pyth": _read_pycls}


def _is_weight(item: tuple[object, object]) -> bool:
    name, value = item
    is_array = isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
    return isinstance(name, str) and (is_array or isinstance(value, Tensor))


def _check_shapes(found: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> None:
    """Raise ValueError where ImageNet weights are of a backbone of another size."""
    for name, weight in model.items():
        # As Detectron2 matches names: the longest that the other ends with.
        parts = name.split(".")
        endings = (".".join(parts[i:]) for i in range(len(parts)))
        source = next((ending for ending in endings if ending in found), None)
        if source and found[source].shape != weight.shape:
            raise ValueError(
                f"{source} of the ImageNet weights has shape {tuple(found[source].shape)}, {name} "
                f"of the model {tuple(weight.shape)}; give the weights of the same backbone, of a "
                "Swin Transformer with the same window as well."
            )


def _raise_for_strangers(names: list[str]) -> None:
    raise ValueError(
        f"none of the {len(names)} weights to start from fits the model, the first is "
        f"{names[0][:80]!r}; give another file, or make one of mmdetection loadable by rankdet "
        "convert."
    )


def _raise_for(incompatible: Any) -> None:
    problem = ""
    if incompatible.incorrect_shapes:
        name, found, expected = incompatible.incorrect_shapes[0]
        problem = f"{name} has shape {found} in the checkpoint and {expected} in the model"
    elif incompatible.missing_keys:
        problem = f"it lacks {incompatible.missing_keys[0]}"
    elif incompatible.unexpected_keys:
        problem = f"the model has no {incompatible.unexpected_keys[0]}"
    if problem:
        # A weight with another name is both missing and unexpected; only one name may be the old.
        weights = [*incompatible.missing_keys, *incompatible.unexpected_keys]
        hint = next(filter(None, map(hint_of_weight, weights)), "")
        remedy = hint or "; use the config and the classes that it was trained with"
        raise ValueError(f"the checkpoint does not fit the model: {problem}{remedy}.")
