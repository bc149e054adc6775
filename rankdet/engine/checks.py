"""Checks of data sets and model that are made before any work is lost."""

from collections.abc import Iterable

import torch
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, ROIHeads
from torch import nn

from rankdet.data.class_stats import (
    annotation_path,
    class_counts,
    ensure_dataset,
    load_dicts,
)
from rankdet.data.file_counts import file_counts
from rankdet.losses.classification import ClassificationLoss
from rankdet.modeling.dense.detector import OneStageDetector


def check_device(device: str) -> None:
    """Put an empty tensor on a device.

    Args:
        device: ``train.device`` of a config.

    Raises:
        ValueError: this machine, or this PyTorch, does not have it.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # The second is of a PyTorch without CUDA.
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"train.device={device} can't be used ({reason}); set train.device=cpu or another."
        ) from error


def check_datasets(model: nn.Module, train_names: Iterable[str], test_names: Iterable[str]) -> None:
    """Read all annotations and compare the number of classes.

    What the files hold is kept on disk; data sets without an annotation file are read every time.

    Args:
        model: detector; it or its RoI heads, predictors and classification losses must agree with
            the data.
        train_names: registered training sets.
        test_names: registered evaluation sets.

    Raises:
        ValueError: a name is not registered, an annotation file is damaged, a data set can't be
            read, or the model has another number of classes than a data set.
        FileNotFoundError: a file is missing.
    """
    train_names, test_names = list(train_names), list(test_names)
    if train_names:
        class_counts(train_names)
    for name in test_names:
        if name not in train_names and annotation_path(ensure_dataset(name)) is None:
            load_dicts(name)
    for name in [*train_names, *test_names]:
        class_names = _class_names(name)
        if class_names:
            _check_num_classes(model, name, len(class_names))


def _class_names(dataset_name: str) -> list[str] | None:
    """Names of the classes, after checking the annotation file; None: unknown."""
    metadata = ensure_dataset(dataset_name)
    class_names: list[str] | None = metadata.get("thing_classes")
    path = annotation_path(metadata)
    if path is None:
        return class_names
    counts = file_counts(path, dataset_name=dataset_name)
    return class_names or counts.names


def _check_num_classes(model: nn.Module, dataset_name: str, num_classes: int) -> None:
    kinds = (ROIHeads, FastRCNNOutputLayers, ClassificationLoss, OneStageDetector)
    parts = (m for m in model.modules() if isinstance(m, kinds))
    other = sorted({part.num_classes for part in parts} - {num_classes})
    if other:
        raise ValueError(
            f"the model has num_classes={other[0]}, but data set {dataset_name!r} has "
            f"{num_classes} classes; set model.roi_heads.num_classes={num_classes} (one-stage "
            f"detectors: model.num_classes={num_classes}) or choose another data set."
        )
