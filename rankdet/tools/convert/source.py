"""What a file to convert holds: weights, and what it says about the model that they are of."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rankdet.tools.convert.settings import Settings, parse_settings, read_settings
from rankdet.tools.convert.weights_file import read_weights_file

_WEIGHTS = ("state_dict", "model")  # The key that mmdetection has, and that of Swin's authors.


class Source(NamedTuple):
    """A checkpoint to convert."""

    path: Path
    sha256: str
    weights: dict[str, Tensor]
    settings: Settings
    class_names: list[str]
    """Empty: unknown."""
    mmdet_version: str
    """Empty: unknown."""
    other_parts: list[str]
    """What the file holds besides, such as the state of an optimizer."""

    @property
    def is_backbone(self) -> bool:
        """Whether it has the weights of a backbone alone, as torchvision serves them."""
        return not any(name.startswith("backbone.") for name in self.weights)


def read_source(path: Path, config: Path | None = None) -> Source:
    """Read a checkpoint.

    Args:
        path: file.
        config: text of the model's config, where the checkpoint has none; it wins over that.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: the checkpoint is damaged, or holds no weights.
    """
    content = read_weights_file(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not weights by name.")
    key = next((name for name in _WEIGHTS if isinstance(content.get(name), Mapping)), None)
    weights = _weights(path, content if key is None else content[key])
    _check_origin(path, weights)
    meta = content.get("meta") if key else None
    meta = meta if isinstance(meta, Mapping) else {}
    return Source(
        path=path,
        sha256=_sha256(path),
        weights=weights,
        settings=read_settings(config) if config else _settings(meta),
        class_names=_class_names(meta),
        mmdet_version=str(meta.get("mmdet_version", ""))[:40],
        other_parts=sorted(str(name) for name in content if name not in (key, "meta"))
        if key
        else [],
    )


def _check_origin(path: Path, weights: Mapping[str, Tensor]) -> None:
    if any(name.startswith("backbone.bottom_up.") for name in weights):
        raise ValueError(
            f"{path} has Detectron2's names already; give it to rankdet eval as "
            "train.init_checkpoint."
        )


def _weights(path: Path, found: Mapping[Any, Any]) -> dict[str, Tensor]:
    for name, value in found.items():
        if not isinstance(name, str) or not _is_weight(value):
            of = f" of {value.dtype} and {value.layout}" if isinstance(value, Tensor) else ""
            raise ValueError(
                f"{path} holds {str(name)[:80]!r}, a {type(value).__name__}{of}, where a weight "
                "is expected; give a checkpoint, or a state_dict."
            )
    if not found:
        raise ValueError(f"{path} holds no weights.")
    names = [str(name) for name in found]
    # torch.nn.DataParallel puts its own name in front.
    prefix = "module." if all(name.startswith("module.") for name in names) else ""
    return {name.removeprefix(prefix): found[name] for name in names}


def _is_weight(value: object) -> bool:
    """Whether it is a tensor of ordinary numbers that are there."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta:
        return False
    return not (value.is_quantized or value.is_complex())


def _settings(meta: Mapping[str, Any]) -> Settings:
    """Of mmdetection 3 (cfg) or 2 (config)."""
    text = meta.get("cfg", meta.get("config"))
    return parse_settings(text) if isinstance(text, str) else Settings({})


def _class_names(meta: Mapping[str, Any]) -> list[str]:
    """Of mmdetection 3 (dataset_meta) or 2 (CLASSES)."""
    dataset = meta.get("dataset_meta")
    found = meta.get("CLASSES")
    if isinstance(dataset, Mapping):
        found = dataset.get("classes", dataset.get("CLASSES"))
    return [str(name) for name in found] if isinstance(found, list | tuple) else []


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
