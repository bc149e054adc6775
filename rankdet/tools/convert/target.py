"""The model that a config describes, and what converting has to know of it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor, nn

from rankdet.data.class_stats import instance_counts
from rankdet.engine.build import build
from rankdet.tools.convert.settings import ImageFormat

_COUNTING = f"{instance_counts.__module__}.{instance_counts.__qualname__}"


class Target(NamedTuple):
    """A model to fill."""

    model: nn.Module
    weights: dict[str, Tensor]
    image_format: ImageFormat
    dataset_names: list[str]
    """Those that the config tests on."""

    @property
    def is_one_stage(self) -> bool:
        """Whether the model is a detector without RoI heads that is no transformer."""
        return not hasattr(self.model, "roi_heads") and not self.is_transformer

    @property
    def is_transformer(self) -> bool:
        """Whether the model is a transformer detector."""
        return hasattr(self.model, "query_selection")

    @property
    def body(self) -> str:
        """What stands in front of the names of the backbone's weights."""
        has_fpn = any(name.startswith("backbone.bottom_up.") for name in self.weights)
        return "backbone.bottom_up." if has_fpn else "backbone."

    @property
    def anchor_generator(self) -> Any:
        """That of the RPN or the one-stage detector."""
        owner: Any = self.model if self.is_one_stage else self.model.proposal_generator
        return owner.anchor_generator

    @property
    def first_level(self) -> int:
        """The number in the name of the largest FPN level: 2 for p2."""
        laterals = [re.fullmatch(r"backbone\.fpn_lateral(\d)\.weight", x) for x in self.weights]
        return min((int(found[1]) for found in laterals if found), default=2)

    @property
    def num_laterals(self) -> int:
        """Number of FPN levels that are made from a stage of the backbone."""
        return sum(bool(re.fullmatch(r"backbone\.fpn_lateral\d\.weight", x)) for x in self.weights)


def build_target(cfg: DictConfig, class_counts: Tensor | None) -> Target:
    """Build the model of a config on the CPU.

    Args:
        cfg: from :func:`rankdet.engine.config.load_config`; it is changed.
        class_counts: ``(C,)`` training instances per class, for losses that would count those of
            the data set, which need not be on this machine. None: they count.

    Raises:
        ValueError: the model can't be built, or has no pixel mean.
        FileNotFoundError: a loss counts a data set that is not there.
    """
    if class_counts is not None:
        _give_counts(cfg.model, class_counts.tolist())
    model = build(cfg, "model")
    names = cfg.dataloader.test.dataset.names
    return Target(
        model=model,
        weights=dict(model.state_dict()),
        image_format=_image_format(cfg, model),
        dataset_names=[str(x) for x in names] if isinstance(names, ListConfig) else [str(names)],
    )


def _image_format(cfg: DictConfig, model: nn.Module) -> ImageFormat:
    mapper = cfg.dataloader.test.get("mapper") or {}
    mean, std = model.pixel_mean, model.pixel_std
    if not isinstance(mean, Tensor) or not isinstance(std, Tensor):
        raise ValueError("the config's model has no pixel_mean and pixel_std to convert for.")
    channels = str(mapper.get("image_format", "BGR"))
    return ImageFormat(channels, tuple(mean.flatten().tolist()), tuple(std.flatten().tolist()))


def _give_counts(node: Any, counts: Sequence[float]) -> None:
    """Put counts in the place of each call that counts a data set."""
    for key, child in list(_children(node)):
        if isinstance(child, DictConfig) and _name(child.get("_target_")) == _COUNTING:
            node[key] = list(counts)
        else:
            _give_counts(child, counts)


def _children(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, DictConfig):
        names = [str(name) for name in node if not OmegaConf.is_interpolation(node, str(name))]
        yield from ((name, node[name]) for name in names)
    elif isinstance(node, ListConfig):
        yield from enumerate(node)


def _name(target: Any) -> str:
    if isinstance(target, str) or target is None:
        return target or ""
    return f"{target.__module__}.{target.__qualname__}"


def like(tensor: Tensor, weight: Tensor) -> Tensor:
    """A copy of a tensor in the type of a weight; float16 becomes float32."""
    return tensor.detach().to(torch.device("cpu"), weight.dtype, copy=True).contiguous()
