"""ImageNet weights as others publish them, by the names of Detectron2's backbones.

mmdetection's releases start from torchvision's ResNets, from ResNeXts that name their layers alike,
and from Microsoft's Swin Transformers. Their files name a backbone's layers without a prefix. Of
timm, Swin Transformers of all releases are read: those since 0.8 count the layers that merge
patches to the next stage; the order of the four patches is Microsoft's in all.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Array = TypeVar("Array")

_RESNET = frozenset({"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"})
_SWIN = frozenset(
    {"patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table"}
)
_COMPUTED = "attn_mask"  # of one size of images
_CLASSIFIER = re.compile(r"(fc|head|norm)\.")  # `norm` is the one in front of Swin's classifier.
_MERGING = re.compile(r"layers\.(\d+)\.downsample\.")
_SITES = (
    "ImageNetPretrained",
    "://download.pytorch.org/models/",
    "://download.openmmlab.com/pretrain/",
    "://github.com/SwinTransformer/storage/",
)
_RESNET_RULES = (
    (r"^(?=conv1\.|bn1\.)", "stem."),
    (r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}."),
    (r"\bbn(\d)\.", r"conv\1.norm."),
    (r"\bdownsample\.0\.", "shortcut."),
    (r"\bdownsample\.1\.", "shortcut.norm."),
)


def is_imagenet(path: str) -> bool:
    """Whether a path is where ImageNet weights are published: of a backbone, not of a detector."""
    return any(site in path for site in _SITES)


def backbone_weights(weights: Mapping[str, Array]) -> dict[str, Array] | None:
    """Name the weights of a ResNet, ResNeXt or Swin Transformer as Detectron2 does.

    Args:
        weights: by the names of torchvision (ResNets), or Microsoft or timm (Swin).

    Returns:
        The same weights without the classifier's, such as ``res2.0.conv1.norm.bias``; None: they
        are of something else, for instance of a whole detector.
    """
    kept = {name: x for name, x in weights.items() if not _CLASSIFIER.match(name)}
    if weights.keys() >= _RESNET:
        return {_resnet_name(name): x for name, x in kept.items()}
    if not weights.keys() >= _SWIN:
        return None
    shift = -1 if merges_patches_first(weights) else 0
    names = {name: _swin_name(name, shift) for name in kept if not name.endswith(_COMPUTED)}
    return {ours: kept[name] for name, ours in names.items()}


def merges_patches_first(weights: Iterable[str]) -> bool:
    """Whether names of a Swin count a layer that merges patches to the stage behind it, as timm.

    Args:
        weights: names, without a prefix.
    """
    stages = {match[1] for match in map(_MERGING.match, weights) if match}
    return bool(stages) and "0" not in stages


def _swin_name(name: str, shift: int) -> str:
    return _MERGING.sub(lambda match: f"layers.{int(match[1]) + shift}.downsample.", name)


def _resnet_name(name: str) -> str:
    for pattern, replacement in _RESNET_RULES:
        name = re.sub(pattern, replacement, name)
    return name
