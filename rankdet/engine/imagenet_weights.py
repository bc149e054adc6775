"""ImageNet weights as others publish them, by the names of Detectron2's backbones.

mmdetection's releases start from torchvision's ResNets, from ResNeXts that name their layers alike,
and from Microsoft's Swin Transformers. Their files name a backbone's layers without a prefix.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

Array = TypeVar("Array")

_RESNET = frozenset({"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"})
_SWIN = frozenset({"patch_embed.proj.weight", "layers.0.blocks.0.attn.qkv.weight"})
_CLASSIFIER = re.compile(r"(fc|head|norm)\.")  # `norm` is the one in front of Swin's classifier.
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
        weights: by the names of torchvision (ResNets) or Microsoft (Swin).

    Returns:
        The same weights without the classifier's, such as ``res2.0.conv1.norm.bias``; None: they
        are of something else, for instance of a whole detector.
    """
    is_resnet = weights.keys() >= _RESNET
    if not is_resnet and not weights.keys() >= _SWIN:
        return None
    kept = {name: x for name, x in weights.items() if not _CLASSIFIER.match(name)}
    return {_resnet_name(name): x for name, x in kept.items()} if is_resnet else kept


def _resnet_name(name: str) -> str:
    for pattern, replacement in _RESNET_RULES:
        name = re.sub(pattern, replacement, name)
    return name
