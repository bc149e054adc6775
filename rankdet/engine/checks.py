"""Checks data sets and model before a training starts."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from detectron2.data import DatasetMapper
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, ROIHeads
from detectron2.utils import comm
from torch import nn

from rankdet.data.class_stats import (
    DatasetCounts,
    add_counts,
    check_same_classes,
    dataset_counts,
)
from rankdet.data.dataset_warnings import deep_images_warning
from rankdet.data.image_files import check_images
from rankdet.data.registered import annotation_path, ensure_dataset, load_dicts
from rankdet.losses import HeadLoss
from rankdet.modeling.dense.detector import OneStageDetector
from rankdet.modeling.detr import DeformableDETR

logger = logging.getLogger(__name__)


def check_device(device: str) -> None:
    """Check that tensors can be put on a device.

    Args:
        device: ``train.device`` of a config.

    Raises:
        ValueError: this machine or this PyTorch lacks the device.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # The second comes from a PyTorch without CUDA.
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"train.device={device} can't be used ({reason}); set train.device=cpu or another."
        ) from error


def check_datasets(
    model: nn.Module,
    train_names: Iterable[str],
    test_names: Iterable[str],
    mapper: Mapping[str, Any] | None = None,
) -> None:
    """Check annotations and images of all data sets, and that they and the model fit together.

    What is read from files is cached on disk; data sets without a file are read every time. The
    main process does the work. The others wait for it, and raise the same error.

    Args:
        model: detector; it or its RoI heads, predictors and classification losses must agree with
            the data.
        train_names: registered training sets.
        test_names: registered evaluation sets.
        mapper: config of the training loader's mapper; None: unknown.

    Raises:
        ValueError: a name is not registered, annotations are damaged, a data set can't be read, two
            have different classes, a training set has nothing to train on, or no masks that a mask
            model can be trained on, the model has another number of classes than a data set, or an
            image can't be used.
        FileNotFoundError: a file is missing.
    """
    train_names, test_names = list(train_names), list(test_names)
    on_main_process(lambda: _check_datasets(model, train_names, test_names, mapper))


def on_main_process(check: Callable[[], None]) -> None:
    """Run a check in the main process; all processes wait for it, and raise its error.

    Args:
        check: raises an error if something is wrong.
    """
    error: Exception | None = None
    if comm.is_main_process():
        try:
            check()
        except Exception as raised:  # Of any kind, or the others would wait forever.
            error = raised
    if comm.get_world_size() > 1:
        # Kind and text are sent, because not every error can be pickled.
        kind = next((kind for kind in _SENTENCES if isinstance(error, kind)), RuntimeError)
        kind, text = comm.all_gather((kind, None if error is None else str(error)))[0]
        error = error or (None if text is None else kind(text))
    if error is not None:
        raise error


def _check_datasets(
    model: nn.Module,
    train_names: list[str],
    test_names: list[str],
    mapper: Mapping[str, Any] | None,
) -> None:
    names = [*train_names, *test_names]
    without_file = [name for name in names if annotation_path(ensure_dataset(name)) is None]
    dicts = {name: load_dicts(name) for name in without_file}
    counted = {name: dataset_counts(name, dicts.get(name)) for name in names}
    for name, one in counted.items():
        _check_num_classes(model, name, len(one.class_names))
        check_same_classes(names[0], counted[names[0]].class_names, name, one.class_names)
    for name in train_names:
        _check_objects(name, counted[name])
        if _trains_masks(model):
            _check_masks(name, counted[name], mapper)
    if train_names:
        add_counts(counted, train_names)  # For its warnings.
    for name in counted:
        warning = deep_images_warning(name, check_images(name, dicts=dicts.get(name)).deep)
        if warning:
            logger.warning(warning)


def _check_objects(name: str, counted: DatasetCounts) -> None:
    if counted.counts.instances.sum():
        return
    reasons = "; ".join(f"{number} {why}" for why, (number, _) in counted.left_out.items())
    raise ValueError(
        f"data set {name!r} has no object to train on: "
        + (f"of its annotations are {reasons}." if reasons else "it has no annotations.")
    )


def _trains_masks(model: nn.Module) -> bool:
    return any(isinstance(m, ROIHeads) and getattr(m, "mask_on", False) for m in model.modules())


_SENTENCES = (FileNotFoundError, ValueError)
_NO_MASKS = {
    "none": "without a mask",
    "empty": "with an empty mask",
    "invalid": "with a polygon of an odd number of coordinates or fewer than 6",
}
_BOX_MODEL = "or train a box detector (model.roi_heads.mask_in_features=null)"
# Other mappers are not checked.
_MAPPERS = (DatasetMapper, f"{DatasetMapper.__module__}.{DatasetMapper.__name__}")


def _check_masks(name: str, counted: DatasetCounts, mapper: Mapping[str, Any] | None) -> None:
    for kind, words in _NO_MASKS.items():
        if kind in counted.masks:
            number, one = counted.masks[kind]
            raise ValueError(
                f"the model trains masks, but data set {name!r} has {number} objects {words}, the "
                f"first is {one}; give them masks, remove them, {_BOX_MODEL}."
            )
    if mapper is None or mapper.get("_target_") not in _MAPPERS:
        return
    if not mapper.get("use_instance_mask", False):
        raise ValueError(
            "the model trains masks, but the mapper leaves them out; set "
            f"dataloader.train.mapper.use_instance_mask=True, {_BOX_MODEL}."
        )
    if "rle" in counted.masks and mapper.get("instance_mask_format", "polygon") != "bitmask":
        number, one = counted.masks["rle"]
        raise ValueError(
            f"data set {name!r} has {number} masks as run lengths (RLE), the first is {one}, which "
            "the mapper does not take as polygons; set "
            "dataloader.train.mapper.instance_mask_format=bitmask."
        )


def _check_num_classes(model: nn.Module, dataset_name: str, num_classes: int) -> None:
    kinds = (ROIHeads, FastRCNNOutputLayers, HeadLoss, OneStageDetector, DeformableDETR)
    of_one_class = {part for whole in _of_one_class(model) for part in whole.modules()}
    parts = (m for m in model.modules() if isinstance(m, kinds) and m not in of_one_class)
    other = sorted({part.num_classes for part in parts} - {num_classes})
    if other:
        raise ValueError(
            f"the model has num_classes={other[0]}, but data set {dataset_name!r} has "
            f"{num_classes} classes; set model.roi_heads.num_classes={num_classes} (one-stage and "
            f"transformer detectors: model.num_classes={num_classes}) or choose another data set."
        )


def _of_one_class(model: nn.Module) -> Iterator[nn.Module]:
    """RPNs and selections of queries tell objects from background only."""
    for part in model.modules():
        if isinstance(part, RPN):
            yield part
        if isinstance(part, DeformableDETR):
            yield part.selection_loss
