"""Which backbone a detector has: one line each in a config.

A recipe changes a lazy config in place: of a two-stage or one-stage detector with an FPN, or of a
transformer detector, whose ``neck`` maps the stages of the backbone. Both keep their levels; where
extra levels are made of the last stage of the backbone, they still are. The released detectors
have torchvision's ResNets. All backbones here but Detectron2's take RGB, as the shipped data
loaders give it, and start an FPN as mmdetection does. Their ImageNet weights are in
``common/imagenet.py``::

    from rankdet import model_zoo
    from rankdet.model_zoo.backbones import use_torchvision_resnet

    model = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
    use_torchvision_resnet(model, depth=101)
"""

from typing import Any

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone.fpn import FPN
from detectron2.modeling.backbone.resnet import BasicStem, BottleneckBlock, ResNet
from omegaconf import DictConfig

from rankdet.modeling.backbone import FixedStatisticsBatchNorm2d, StochasticDepthSwin, XavierFPN

_RGB = {"pixel_mean": [123.675, 116.28, 103.53], "pixel_std": [58.395, 57.12, 57.375]}
_BGR = {"pixel_mean": [103.53, 116.28, 123.675], "pixel_std": [1.0, 1.0, 1.0]}
_DEPTHS = (50, 101, 152)
_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_SWIN: dict[str, dict[str, Any]] = {
    "tiny": dict(embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], drop_path_rate=0.2),
    "small": dict(embed_dim=96, depths=[2, 2, 18, 2], num_heads=[3, 6, 12, 24], drop_path_rate=0.2),
    "base": dict(embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], drop_path_rate=0.3),
    "large": dict(
        embed_dim=192, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48], drop_path_rate=0.3
    ),
}
_WINDOWS = {"tiny": 7, "small": 7, "base": 7, "large": 12}


def use_torchvision_resnet(model: DictConfig, depth: int = 50) -> None:
    """Give a detector the ResNet of mmdetection's releases: torchvision's.

    Strides are in the 3 x 3 convolutions. Stem and first stage are frozen. Norms of the other
    stages have fixed statistics and trained weights and biases.

    Args:
        model: lazy config of the model.
        depth: 50, 101 or 152.

    Raises:
        ValueError: ``depth`` is another, or the detector has neither FPN nor neck.
    """
    _check("depth", depth, _DEPTHS)
    stages = L(ResNet.make_default_stages)(depth=depth, stride_in_1x1=False, norm=_norm())
    _use_resnet(model, stages, norm=_norm())
    _take_rgb(model)


def use_resnext(
    model: DictConfig, depth: int = 101, groups: int = 64, width_per_group: int = 4
) -> None:
    """Give a detector a ResNeXt as mmdetection has it: ``use_torchvision_resnet`` with groups.

    Args:
        model: lazy config of the model.
        depth: 50, 101 or 152.
        groups: of the 3 x 3 convolutions.
        width_per_group: channels of a group in the first stage, doubled by each further one.

    Raises:
        ValueError: ``depth`` is another, or the detector has neither FPN nor neck.
    """
    _check("depth", depth, _DEPTHS)
    stages = [
        L(ResNet.make_stage)(
            block_class=BottleneckBlock,
            num_blocks=num_blocks,
            stride_per_block=[2 if stage else 1] + [1] * (num_blocks - 1),
            in_channels=128 * 2**stage if stage else 64,
            out_channels=256 * 2**stage,
            bottleneck_channels=groups * width_per_group * 2**stage,
            num_groups=groups,
            stride_in_1x1=False,
            norm=_norm(),
        )
        for stage, num_blocks in enumerate(_BLOCKS[depth])
    ]
    _use_resnet(model, stages, norm=_norm())
    _take_rgb(model)


def use_swin(model: DictConfig, size: str = "tiny") -> None:
    """Give a detector a Swin Transformer, nothing of it frozen.

    Windows are of 7, of the large one of 12, as in Microsoft's file for images of 384. Rates of
    stochastic depth are mmdetection's; ``drop_path_rate`` is the key, and ``checkpoints`` the one
    that saves memory, of ``model.backbone.bottom_up`` or, without an FPN, ``model.backbone``. With
    an FPN it wants AdamW without weight decay on norms and on tables of relative positions:
    ``configs/README.md`` has the lines.

    Args:
        model: lazy config of the model.
        size: "tiny", "small", "base" or "large".

    Raises:
        ValueError: ``size`` is another, or the detector has neither FPN nor neck.
    """
    _check("size", size, tuple(_SWIN))
    indices = [stage - 2 for stage in _stages(model)]
    swin = L(StochasticDepthSwin)(**_SWIN[size], window_size=_WINDOWS[size], out_indices=indices)
    channels = [_SWIN[size]["embed_dim"] * 2**index for index in indices]
    _put(model, swin, [f"p{index}" for index in indices], channels)
    _take_rgb(model)


def use_detectron2_resnet(
    model: DictConfig, dataloader: DictConfig, train: DictConfig, depth: int = 50
) -> None:
    """Give a detector Detectron2's ResNet, with the weights of MSRA, which take BGR.

    Strides are in the first 1 x 1 convolutions, pixels are not divided by their deviation, norms
    are frozen with their weights and biases. Stem and first stage are frozen. The FPN starts as
    Detectron2's does.

    Args:
        model: lazy config of the model.
        dataloader: lazy config of the data loaders, which become BGR.
        train: training options, whose ``init_checkpoint`` becomes that of the weights.
        depth: 50 or 101.

    Raises:
        ValueError: ``depth`` is another, or the detector has neither FPN nor neck.
    """
    _check("depth", depth, (50, 101))
    stages = L(ResNet.make_default_stages)(depth=depth, stride_in_1x1=True, norm="FrozenBN")
    _use_resnet(model, stages, norm="FrozenBN")
    if not _has_neck(model):
        model.backbone._target_ = FPN
    _set_pixels(model, "BGR", _BGR)
    for split in (dataloader.train, dataloader.test):
        split.mapper.image_format = "BGR"
    train.init_checkpoint = f"detectron2://ImageNetPretrained/MSRA/R-{depth}.pkl"


def _norm() -> DictConfig:
    norm: DictConfig = L(FixedStatisticsBatchNorm2d.with_eps)(eps=1e-5)
    return norm


def _use_resnet(model: DictConfig, stages: Any, norm: Any) -> None:
    """A ResNet with the outputs that are read now, stem and first stage frozen."""
    numbers = _stages(model)
    names = [f"res{stage}" for stage in numbers]
    resnet = L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm=norm),
        stages=stages,
        out_features=names,
        freeze_at=2,
    )
    _put(model, resnet, names, [64 * 2**stage for stage in numbers])


def _stages(model: DictConfig) -> list[int]:
    """Which stages are read, as the logarithms of their strides: ``[2, 3, 4, 5]``."""
    part = "neck" if _has_neck(model) else "backbone"
    names, first = model[part].get("in_features"), {"r": 0, "p": 2}
    # A ResNet's res2 and a Swin Transformer's p0 have stride 4.
    if not names or not first.keys() >= {name[0] for name in names}:
        raise ValueError(
            f"model.{part}.in_features is {names}, but these recipes take a detector with an FPN "
            "or a neck on a ResNet (res2 ...) or a Swin Transformer (p0 ...)."
        )
    return [int(name[-1]) + first[name[0]] for name in names]


def _has_neck(model: DictConfig) -> bool:
    """Whether the maps of the backbone go into a part of its own, not into an FPN around it."""
    return "neck" in model


def _put(model: DictConfig, body: DictConfig, names: list[str], channels: list[int]) -> None:
    if _has_neck(model):
        model.backbone = body
        model.neck.update(in_features=names, in_channels=channels)
        return
    model.backbone.update(bottom_up=body, in_features=names)
    _follow_last_stage(model, names[-1], channels[-1])


def _follow_last_stage(model: DictConfig, name: str, channels: int) -> None:
    """Tell the extra levels of the FPN their input, if it is the last stage, not p5."""
    top_block = model.backbone.top_block
    if top_block and "in_channels" in top_block and top_block.get("in_feature") != "p5":
        top_block.update(in_feature=name, in_channels=channels)


def _take_rgb(model: DictConfig) -> None:
    """What all backbones of mmdetection have in common: RGB, and the start of an FPN."""
    if not _has_neck(model):
        model.backbone._target_ = XavierFPN
    _set_pixels(model, "RGB", _RGB)


def _set_pixels(model: DictConfig, image_format: str, pixels: dict[str, list[float]]) -> None:
    model.update(pixels)
    if "input_format" in model:  # Detectron2's two-stage detectors draw by it.
        model.input_format = image_format


def _check(argument: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(map(str, allowed))
        raise ValueError(f"{argument} is {value!r}; give one of {choices}.")
