"""What no weight shows, and both sides have to agree on."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from detectron2.data import MetadataCatalog
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.resnet import BottleneckBlock

from rankdet.tools.convert.rules import Conversion


class _Fact(NamedTuple):
    what: str
    source: str | None
    """None: not known."""
    target: str
    remedy: str


def check_facts(conversion: Conversion) -> None:
    """Compare what the checkpoint's settings say with the config, and note what they do not say.

    Raises:
        ValueError: they differ.
    """
    for fact in _facts(conversion):
        if fact.source is None:
            conversion.assume(f"{fact.what}: {fact.target}, as in the config")
        elif fact.source != fact.target:
            raise ValueError(
                f"{fact.what}: the checkpoint has {fact.source}, the config {fact.target}; "
                f"{fact.remedy}."
            )
    _check_class_order(conversion)


def _facts(conversion: Conversion) -> Iterator[_Fact]:
    yield from _stride_fact(conversion)
    if conversion.source.is_backbone:
        return
    yield from _top_block_fact(conversion)
    if conversion.target.is_one_stage:
        yield from _distance_facts(conversion)


def _stride_fact(conversion: Conversion) -> Iterator[_Fact]:
    modules = conversion.target.model.modules()
    blocks = [module for module in modules if isinstance(module, BottleneckBlock)]
    settings, source = conversion.source.settings, None
    if conversion.source.is_backbone:
        source = "3 x 3"  # torchvision's, and what mmdetection makes of others.
    elif settings.is_known:
        source = "1 x 1" if settings.get("backbone", "style") == "caffe" else "3 x 3"
    if blocks:
        is_first = any(block.conv1.stride != (1, 1) for block in blocks)
        yield _Fact(
            "convolution of a block that has the stride",
            source,
            "1 x 1" if is_first else "3 x 3",
            "give the config the same stride_in_1x1 in its stages",
        )


def _top_block_fact(conversion: Conversion) -> Iterator[_Fact]:
    top_block: Any = getattr(conversion.target.module("backbone"), "top_block", None)
    if not isinstance(top_block, LastLevelP6P7):
        return
    settings = conversion.source.settings
    has_relu = bool(settings.get("neck", "relu_before_extra_convs", default=False))
    yield _Fact(
        "activation between the FPN levels p6 and p7",
        ("ReLU" if has_relu else "none") if settings.is_known else None,
        "ReLU" if type(top_block).forward is LastLevelP6P7.forward else "none",
        "give the config the other top_block, LastLevelP6P7 with and PlainP6P7 without it",
    )


def _distance_facts(conversion: Conversion) -> Iterator[_Fact]:
    yield from ()


def _check_class_order(conversion: Conversion) -> None:
    """Compare the names of the classes where both sides have the same ones."""
    theirs = conversion.source.class_names
    for name in conversion.target.dataset_names:
        ours = list(MetadataCatalog.get(name).get("thing_classes", []))
        if sorted(ours) == sorted(theirs) and ours != theirs:
            index = next(
                i for i, pair in enumerate(zip(ours, theirs, strict=True)) if len({*pair}) > 1
            )
            raise ValueError(
                f"the classes have another order: class {index} is {theirs[index]!r} in the "
                f"checkpoint and {ours[index]!r} in {name}; register the data set with the "
                "checkpoint's order."
            )
