"""The comparisons of training iterations that rankdet's own figures are from."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from detectron2.config import LazyCall as L
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from omegaconf import DictConfig

from rankdet.engine.config import load_config
from rankdet.losses import ECMLoss, SigmoidBCELoss, SoftmaxCrossEntropyLoss
from rankdet.model_zoo import get_config
from rankdet.model_zoo.detr_recipes import use_detr_ranking

Comparison = tuple[str, dict[str, DictConfig]]
"""A title, and experiments by name, the baseline first."""

LVIS_CLASSES = 1203
NUMBERS_OF_CLASSES = (36, LVIS_CLASSES)
ALL_PROPOSALS = 10**6
IMAGES_OF_DENSE = 24  # in a batch: three times as many as usual
RANKING = {"AP": "ap", "BAP": "bap", "aLRP": "alrp", "NDCG": "ndcg", "RS": "rs", "BRS": "brs"}
PCB = {"softmax": "pcb", "EQL v2": "eqlv2_pcb", "Seesaw": "seesaw_pcb"}
# Names in ``common/losses.py``. In lower case ours end the names of the experiments.
DENSE_LOSSES = {
    "focal": "focal",
    "varifocal": "varifocal",
    "QFL": "quality_focal",
    "focal-ECM": "focal",
    "varifocal-ECM": "varifocal",
    "AP": "ap",
    "BAP": "bucketed_ap",
    "aLRP": "alrp",
    "RS": "rank_sort",
    "BRS": "bucketed_rank_sort",
}


class Preset(NamedTuple):
    """Comparisons under one name.

    Attributes:
        summary: what is compared.
        comparisons: makes them from the user's overrides.
    """

    summary: str
    comparisons: Callable[[Sequence[str]], Iterator[Comparison]]


def classification_losses(overrides: Sequence[str]) -> Iterator[Comparison]:
    """Detectron2's own predictor, then rankdet's with each loss; few and many classes."""
    for num_classes in NUMBERS_OF_CLASSES:
        counts = torch.logspace(3, 0, num_classes).round()
        losses = {
            "Detectron2": None,
            "softmax CE": L(SoftmaxCrossEntropyLoss)(num_classes=num_classes),
            "sigmoid BCE": L(SigmoidBCELoss)(num_classes=num_classes),
            "ECM": L(ECMLoss)(class_counts=counts, background_ratio=4.0),
        }
        experiments = {n: _two_stage(num_classes, one, overrides) for n, one in losses.items()}
        yield f"Mask R-CNN, {num_classes:,} classes", experiments


def ranking_losses(overrides: Sequence[str]) -> Iterator[Comparison]:
    """Faster R-CNN with each ranking loss; all get all proposals of the same RPN settings."""
    baseline = load_config("glyphs/faster_rcnn_r18_fpn.py", overrides)
    baseline.model.roi_heads.batch_size_per_image = ALL_PROPOSALS
    ranking = {
        name: load_config(f"glyphs/faster_rcnn_r18_fpn_{suffix}.py", overrides)
        for name, suffix in RANKING.items()
    }
    yield "Faster R-CNN", {"softmax CE": baseline, **ranking}


def pairwise_class_balance(overrides: Sequence[str]) -> Iterator[Comparison]:
    """Mask R-CNN with PCB from the first iteration on, in a head of one step, and its base loss."""
    for name, suffix in PCB.items():
        balanced = load_config(f"glyphs/mask_rcnn_r18_fpn_{suffix}.py", overrides)
        _spread_over(balanced, LVIS_CLASSES)
        balanced.model.roi_heads.step_weights = [1.0]
        balanced.model.roi_heads.box_predictor.loss.start_epoch = 0
        base = balanced.copy()
        base.model.roi_heads.box_predictor.loss = base.model.roi_heads.box_predictor.loss.base
        title = f"Mask R-CNN, {LVIS_CLASSES:,} classes"
        yield title, {name: base, f"{name} + PCB": balanced}


def dense_losses(detector: str, overrides: Sequence[str]) -> Iterator[Comparison]:
    """A one-stage detector with its own loss, with others in its place, and whole experiments."""
    batch = f"dataloader.train.total_batch_size={IMAGES_OF_DENSE}"
    load = partial(load_config, overrides=[batch, *overrides])
    stem = f"glyphs/{detector}_r18_fpn"
    default = load(f"{stem}.py")
    own = "varifocal" if detector == "varifocalnet" else "focal"
    experiments = {own: default}
    losses = get_config("common/losses.py")
    for name, key in DENSE_LOSSES.items():
        experiments.setdefault(name, _with_loss(default, losses[key]))
        if name.endswith("-ECM"):
            experiments[name].model.loss.surrogate = losses.ecm_surrogate
        if name in _WHOLE.get(detector, ()):
            experiments[f"{name} config"] = load(f"{stem}_{name.lower()}.py")
    yield detector, experiments


def transformer_losses(overrides: Sequence[str]) -> Iterator[Comparison]:
    """Deformable DETR and Co-DETR in which only the loss differs, and Co-DETR's own experiment."""
    losses = get_config("common/losses.py")
    names = {name: DENSE_LOSSES[name] for name in ("focal", "AP", "RS", "BRS")}
    for title, stem in (("Deformable DETR", "deformable_detr_r18"), ("Co-DETR", "co_detr_r18")):
        experiments = {}
        for name, key in names.items():
            experiments[name] = load_config(f"glyphs/{stem}.py", overrides)
            use_detr_ranking(experiments[name].model, losses[key])
        experiments["own config"] = load_config(f"glyphs/{stem}.py", overrides)
        yield f"{title}, proposals and anchors unsampled except in its own config", experiments


_WHOLE = {
    "retinanet": ("AP", "aLRP", "RS", "BRS"),
    "atss": ("RS", "BRS"),
    "paa": ("RS", "BRS"),
}
DETECTORS = ("retinanet", "fcos", "atss", "paa", "varifocalnet")
PRESETS = {
    "classification": Preset(
        "Mask R-CNN: Detectron2's own predictor, softmax CE, BCE, ECM", classification_losses
    ),
    "ranking": Preset("Faster R-CNN: softmax CE and the ranking losses", ranking_losses),
    "transformers": Preset(
        "Deformable DETR and Co-DETR: focal loss and the ranking losses", transformer_losses
    ),
    "pcb": Preset("Mask R-CNN: base losses without and with PCB", pairwise_class_balance),
    **{
        one: Preset(
            "its own loss, others in its place, and their experiments", partial(dense_losses, one)
        )
        for one in DETECTORS
    },
}


def _two_stage(num_classes: int, loss: DictConfig | None, overrides: Sequence[str]) -> DictConfig:
    """The quick start's Mask R-CNN; without a loss, with Detectron2's own predictor."""
    cfg = load_config("glyphs/mask_rcnn_r18_fpn.py", overrides)
    _spread_over(cfg, num_classes)
    predictor = cfg.model.roi_heads.box_predictor
    if loss is None:
        known = {"_target_", *inspect.signature(FastRCNNOutputLayers.__init__).parameters}
        for name in set(predictor) - known:
            predictor.pop(name)
        predictor._target_ = FastRCNNOutputLayers
    else:
        predictor.loss = loss
    return cfg


def _spread_over(cfg: DictConfig, num_classes: int) -> None:
    """Give a two-stage model so many classes, over which the benchmark spreads the objects."""
    cfg.model.roi_heads.num_classes = num_classes
    cfg.benchmark_classes = num_classes


def _with_loss(default: DictConfig, loss: DictConfig) -> DictConfig:
    cfg = default.copy()
    cfg.model.loss = loss
    return cfg
