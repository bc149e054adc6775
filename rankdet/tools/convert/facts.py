"""What no weight shows, and both sides have to agree on."""

from collections.abc import Iterator
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.resnet import BottleneckBlock
from torch import nn

from rankdet.losses import ECMLoss, EQLv2Loss, PCBLoss, SeesawLoss, SoftmaxCrossEntropyLoss
from rankdet.modeling.dense.dense_head import ClassQualityHead
from rankdet.modeling.dense.distances import ExponentialDistances
from rankdet.modeling.dense.paa import PAAAssigner
from rankdet.modeling.normed_layers import NormedConv2d, NormedLinear
from rankdet.tools.convert.changes import MMDETECTION_1
from rankdet.tools.convert.rules import Conversion
from rankdet.tools.convert.settings import Settings, numbers
from rankdet.tools.convert.transformer import parts_of
from rankdet.tools.convert.transformer_facts import Fact, transformer_facts

_LOSSES = {
    "CrossEntropy": SoftmaxCrossEntropyLoss,
    "EffectiveClassMargin": ECMLoss,
    "EQL": EQLv2Loss,
    "Seesaw": SeesawLoss,
}
"""By how mmdetection and its forks begin their names."""


def check_facts(conversion: Conversion) -> None:
    """Compare what the checkpoint's settings say with the config, and note what they do not say.

    Raises:
        ValueError: they differ.
    """
    _check_kind(conversion)
    if conversion.source.mmdet_version.startswith(("0.", "1.")):
        conversion.assume(MMDETECTION_1)
    for fact in _facts(conversion):
        if fact.source is None:
            conversion.assume(f"{fact.what}: {fact.target}, as in the config")
        elif fact.source != fact.target:
            raise ValueError(
                f"{fact.what}: the checkpoint has {fact.source}, the config {fact.target}; "
                f"{fact.remedy}."
            )
    if not conversion.source.is_backbone:
        _check_classes(conversion)


def _check_kind(conversion: Conversion) -> None:
    theirs, ours = _kind_of_source(conversion), _kind_of_target(conversion)
    if not conversion.source.is_backbone and theirs != ours:
        raise ValueError(
            f"the checkpoint is of a {theirs} detector, the config of a {ours} one; give a config "
            "of the same detector."
        )


def _kind_of_source(conversion: Conversion) -> str:
    heads = {name.partition(".")[0] for name in conversion.source.weights}
    if "query_head" in heads:
        return "transformer"
    return "two-stage" if "rpn_head" in heads else "one-stage"


def _kind_of_target(conversion: Conversion) -> str:
    if conversion.target.is_transformer:
        return "transformer"
    return "one-stage" if conversion.target.is_one_stage else "two-stage"


def _facts(conversion: Conversion) -> Iterator[Fact]:
    yield from _stride_fact(conversion)
    if conversion.source.is_backbone:
        return
    if conversion.target.is_transformer:
        yield from transformer_facts(conversion)
        for part in parts_of(conversion):
            yield from _head_facts(part.conversion)
        return
    yield from _top_block_fact(conversion)
    yield from _head_facts(conversion)


def _head_facts(conversion: Conversion) -> Iterator[Fact]:
    yield from _anchor_fact(conversion)
    if conversion.target.is_one_stage:
        yield from _fcos_facts(conversion)
        yield from _paa_fact(conversion)
    else:
        yield from _loss_fact(conversion)
        yield from _cosine_facts(conversion)
        yield from _step_fact(conversion)


def _stride_fact(conversion: Conversion) -> Iterator[Fact]:
    modules = conversion.target.model.modules()
    blocks = [module for module in modules if isinstance(module, BottleneckBlock)]
    settings, source = conversion.source.settings, None
    if settings.is_known:
        source = "1 x 1" if settings.get("backbone", "style") == "caffe" else "3 x 3"
    elif conversion.source.is_backbone:
        source = "3 x 3"  # torchvision's
    if blocks:
        is_first = any(block.conv1.stride != (1, 1) for block in blocks)
        yield Fact(
            "convolution of a block that has the stride",
            source,
            "1 x 1" if is_first else "3 x 3",
            f"set model.{conversion.target.body}stages.stride_in_1x1 to the other value here and "
            "in each command that loads the file",
        )


def _top_block_fact(conversion: Conversion) -> Iterator[Fact]:
    top_block: Any = getattr(conversion.target.model.backbone, "top_block", None)
    if not isinstance(top_block, LastLevelP6P7):
        return
    settings = conversion.source.settings
    has_relu = bool(settings.get("neck", "relu_before_extra_convs", default=False))
    yield Fact(
        "activation between the FPN levels p6 and p7",
        ("ReLU" if has_relu else "none") if settings.is_known else None,
        "ReLU" if type(top_block).forward is LastLevelP6P7.forward else "none",
        "give the config the other top_block, LastLevelP6P7 with and PlainP6P7 without it",
    )


def _anchor_fact(conversion: Conversion) -> Iterator[Fact]:
    """Anchors of mmdetection are around the corners of cells, FCOS's points in their centers."""
    settings = conversion.source.settings
    head = "bbox_head" if conversion.target.is_one_stage else "rpn_head"
    anchors, points = (settings.part(head, f"{x}_generator") for x in ("anchor", "point"))
    offset = points.get("offset", 0.5)
    if anchors or "FCOS" not in str(settings.get(head, "type")):
        offset = anchors.get("center_offset", 0.0)
    found = numbers([offset]) if settings.is_known else None
    yield Fact(
        "place of the first anchor, in strides",
        f"{found[0]:g}" if found else None,
        f"{conversion.target.anchor_generator.offset:g}",
        "give the config's anchor_generator the other offset",
    )


def _fcos_facts(conversion: Conversion) -> Iterator[Fact]:
    model, settings = conversion.target.model, conversion.source.settings
    names = conversion.source.weights
    if not any(name.startswith(("bbox_head.conv_reg.", "bbox_head.fcos_reg.")) for name in names):
        return
    is_linear = bool(settings.get("bbox_head", "norm_on_bbox", default=False))
    has_logs = isinstance(model.box2box_transform, ExponentialDistances)
    yield Fact(
        "distances of FCOS",
        ("in strides" if is_linear else "logs of pixels") if settings.is_known else None,
        "logs of pixels" if has_logs else "in strides",
        "give the config the other box2box_transform: ExponentialDistances for logs, else "
        "Box2BoxTransformLinear(normalize_by_size=True)",
    )
    is_on_boxes = bool(settings.get("bbox_head", "centerness_on_reg", default=False))
    yield Fact(
        "branch of FCOS's centerness",
        ("boxes" if is_on_boxes else "classes") if settings.is_known else None,
        "classes" if isinstance(model.head, ClassQualityHead) else "boxes",
        "give the config the other head: ClassQualityHead for the branch of the classes, "
        "QualityHead for that of the boxes",
    )


def _paa_fact(conversion: Conversion) -> Iterator[Fact]:
    """PAA's head is ATSS's, and has other scores and boxes."""
    if not any(name.startswith("bbox_head.atss_") for name in conversion.source.weights):
        return
    head = conversion.source.settings.get("bbox_head", "type")
    has_paa = isinstance(getattr(conversion.target.model, "assigner", None), PAAAssigner)
    yield Fact(
        "detector with ATSS's head",
        ("PAA" if "PAA" in head else "ATSS") if isinstance(head, str) else None,
        "PAA" if has_paa else "ATSS",
        "give a config of the same detector",
    )


def _loss_fact(conversion: Conversion) -> Iterator[Fact]:
    """Some losses have as many logits as softmax, and make other scores of them."""
    loss = getattr(_first_stage(conversion, "box_predictor"), "loss", None)
    loss = loss.base if isinstance(loss, PCBLoss) else loss
    ours = [name for name, kind in _LOSSES.items() if isinstance(loss, kind)]
    found = conversion.source.settings.get("roi_head", "bbox_head", 0, "loss_cls", "type")
    theirs = [name for name in _LOSSES if str(found).startswith(name)]
    if ours:
        remedy = "give the config of the same loss"
        yield Fact("loss of classes", theirs[0] if theirs else None, ours[0], remedy)


def _first_stage(conversion: Conversion, name: str) -> Any:
    head: Any = getattr(conversion.target.model.roi_heads, name, None)
    return head[0] if isinstance(head, nn.ModuleList) else head


def _cosine_facts(conversion: Conversion) -> Iterator[Fact]:
    """A cosine layer has the names and shapes of an ordinary one."""
    for what, ours, theirs, layer in (
        (
            "last layer of classes",
            "box_predictor",
            ("bbox_head", 0, "cls_predictor_cfg"),
            "cls_score",
        ),
        ("last layer of masks", "mask_head", ("mask_head", 0, "predictor_cfg"), "predictor"),
    ):
        found = getattr(_first_stage(conversion, ours), layer, None)
        if found is not None:
            yield Fact(
                what,
                _their_layer(conversion.source.settings, "roi_head", *theirs),
                _our_layer(found),
                "give a config with the same layer, see configs/common/cosine.py",
            )


def _their_layer(settings: Settings, *path: str | int) -> str | None:
    if not settings.is_known:
        return None
    layer = settings.part(*path)
    if not str(layer.get("type", "")).startswith("Normed"):
        return "linear"
    found = numbers([layer.get("tempearture", 20)])  # So mmdetection spells it.
    return _cosine(found[0]) if found else None


def _our_layer(layer: nn.Module) -> str:
    if isinstance(layer, NormedLinear | NormedConv2d):
        return _cosine(layer.temperature)
    return "linear"


def _cosine(temperature: float) -> str:
    return f"cosine of temperature {temperature:g}"


def _step_fact(conversion: Conversion) -> Iterator[Fact]:
    steps: Any = getattr(conversion.target.model.roi_heads, "step_weights", None)
    if steps is not None:
        found = numbers([conversion.source.settings.get("roi_head", "n_iter")])
        yield Fact(
            "steps of PCB's heads",
            f"{found[0]:g}" if found else None,
            str(len(steps)),
            "give model.roi_heads.step_weights as many weights",
        )


def _check_classes(conversion: Conversion) -> None:
    """Compare the names of the classes, of which some may be written otherwise."""
    theirs = conversion.source.class_names
    for dataset in conversion.target.dataset_names:
        ours = list(MetadataCatalog.get(dataset).get("thing_classes", []))
        if len(ours) != len(theirs) or not ours:
            conversion.assume(f"the classes are in the order of {dataset}")
            continue
        others = [index for index, name in enumerate(ours) if theirs[index] != name]
        moved = [index for index in others if ours[index] in theirs]
        if moved:
            raise ValueError(
                f"the classes have another order: class {moved[0]} is {_quoted(theirs[moved[0]])} "
                f"in the checkpoint and {_quoted(ours[moved[0]])} in {dataset}; register the data "
                "set with the checkpoint's order."
            )
        if others:
            conversion.assume(
                f"{len(others)} of {len(ours)} classes are the same under another name, such as "
                f"{_quoted(theirs[others[0]])} for {_quoted(ours[others[0]])} of {dataset}"
            )


def _quoted(name: str) -> str:
    return repr(name[:60])
