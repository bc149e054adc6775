"""A trained model that takes pictures of any size as they are."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.data.detection_utils import convert_PIL_to_numpy
from detectron2.data.transforms import AugInput, AugmentationList
from detectron2.structures import Instances
from omegaconf import DictConfig
from PIL import Image
from torch import nn

from rankdet.data.class_names import read_class_names
from rankdet.engine.checkpoint import ensure_checkpoint
from rankdet.engine.training import dataset_names
from rankdet.tools.command_line import is_set
from rankdet.tools.run_folder import find_checkpoint, find_config, load_model, load_run_config

logger = logging.getLogger(__name__)

ByteArray = npt.NDArray[np.uint8]


class Detector:
    """Resizes a picture as the evaluation does, runs the model, and drops unsure detections.

    Args:
        model: detector of Detectron2's interface.
        mapper: config of the test mapper, of which the image format and the augmentations count.
        score_threshold: least score of a detection.
        metadata: Detectron2's, with the names of the classes.
    """

    def __init__(
        self, model: nn.Module, mapper: DictConfig, score_threshold: float, metadata: Any
    ) -> None:
        self.model = model.eval()
        self.image_format = mapper.image_format
        self.augmentations = AugmentationList(instantiate(mapper.augmentations))
        self.score_threshold = score_threshold
        self.metadata = metadata

    @torch.no_grad()
    def __call__(self, image: ByteArray) -> Instances:
        """Detect objects.

        Args:
            image: ``(H, W, 3)``, RGB.

        Returns:
            Detections in pixels of the image, on the CPU.
        """
        height, width = image.shape[:2]
        resized = AugInput(convert_PIL_to_numpy(Image.fromarray(image), self.image_format))
        self.augmentations(resized)
        pixels = torch.from_numpy(np.ascontiguousarray(resized.image.transpose(2, 0, 1)))
        (output,) = self.model([{"image": pixels, "height": height, "width": width}])
        found = output["instances"].to("cpu")
        return found[found.scores >= self.score_threshold]


def load_detector(
    config_file: str,
    overrides: Sequence[str] = (),
    score_threshold: float = 0.5,
    trust: Sequence[str] = (),
) -> Detector:
    """Load a trained model.

    Args:
        config_file: a run's folder or its ``config.yaml``, wherever it is now, or an experiment.
        overrides: ``key=value``. ``train.init_checkpoint`` are the weights to take; without, they
            are the last of the run. The names of the classes are those of the test set.
        score_threshold: least score of a detection, from 0 to 1.
        trust: modules whose code a run's config may name.

    Returns:
        The model, on the CPU if its device is not chosen by an override and there is no GPU.

    Raises:
        FileNotFoundError: the config or the weights do not exist.
        ValueError: an override or the threshold is wrong, or the weights are of another model.
    """
    if not 0 <= score_threshold <= 1:
        raise ValueError(f"--confidence-threshold is {score_threshold}; scores are from 0 to 1.")
    path = Path(config_file)
    cfg = load_run_config(find_config(path) if path.is_dir() else path, overrides, trust)
    weights = (
        ensure_checkpoint(cfg.train.init_checkpoint)
        if is_set("train.init_checkpoint", overrides)
        else find_checkpoint(Path(cfg.train.output_dir), option="train.init_checkpoint=FILE")
    )
    model = load_model(cfg, weights, splits=[])
    metadata = _metadata(dataset_names(cfg, "test")[0])
    return Detector(model, cfg.dataloader.test.mapper, score_threshold, metadata)


def _metadata(name: str) -> Metadata:
    """That of a data set, with the names of its classes where they are known on this machine."""
    metadata = MetadataCatalog.get(name)
    if name not in DatasetCatalog or metadata.get("thing_classes") is not None:
        return metadata
    try:
        return Metadata(name=name, thing_classes=read_class_names(name))
    except (FileNotFoundError, ValueError) as error:
        logger.warning("Classes are shown by number, as their names are unknown: %s", error)
        return metadata
