"""Collect what a model is biased to: ``python -m rankdet.tools.calibration RUN_FOLDER_OR_CONFIG``.

Runs the model over a data set, prints the pairwise bias (PwB) of its confusion matrix, and writes
calibration_DATASET.pth beside the weights, for the calibrations of rankdet.losses.calibration.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig
from torch import Tensor, nn
from tqdm import tqdm

from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config
from rankdet.engine.known_warnings import silence_known_warnings
from rankdet.engine.train import build_model, dataset_names
from rankdet.losses.calibration import (
    ConfusionStatistics,
    foreground_probs,
    save_statistics,
)
from rankdet.losses.confusion import pairwise_bias
from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.tools.visualize import find_checkpoint, load_run_config

MIN_IOU = 0.5  # of a foreground proposal, as in the training of Fast R-CNN

_EXAMPLE = """
example, with all of it on one line:
  python train_net.py --eval-only --config-file RUN_FOLDER/config.yaml
    train.init_checkpoint=RUN_FOLDER/model_final.pth train.output_dir=RUN_FOLDER/calibrated
    'model.roi_heads.box_predictor.calibration={_target_: PART, path: FILE}'
  PART: rankdet.losses.calibration.ConfusionCalibration or .MeanScoreCalibration
  FILE: what this tool has written
  A cascade has a predictor for each stage: box_predictors.0.calibration, and so on.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect, print and write; what a user can do wrong ends it with one sentence."""
    options = _parser().parse_args(arguments)
    silence_known_warnings()
    setup_logger(name="rankdet")
    try:
        write_statistics(**vars(options))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def write_statistics(
    run_or_config: Path, dataset: str | None = None, checkpoint: Path | None = None
) -> Path:
    """Collect the confusion matrix of a model on a data set, print its PwB, and write it.

    Args:
        run_or_config: ``train.output_dir`` of a run, or a config file.
        dataset: a registered data set with annotations; None: the one that the config tests on.
        checkpoint: weights; None: the last of the run.

    Returns:
        The file, beside the weights.

    Raises:
        FileNotFoundError: there is no such run, config, checkpoint or data set.
        ValueError: the model has no :class:`BoxPredictor`, the weights or the data set do not fit
            it, or no proposal finds an object.
    """
    cfg, weights = _load(run_or_config, checkpoint)
    if dataset is not None:
        cfg.dataloader.test.dataset.names = dataset
    name = "_".join(dataset_names(cfg, "test"))
    model = build_model(cfg, splits=["test"])
    Checkpointer(model).load_strictly(weights)
    statistics = collect_statistics(model, annotated_loader(cfg))
    path = Path(weights).with_name(f"calibration_{name}.pth")
    save_statistics(path, statistics)
    print(_summary(name, statistics))
    print(f"Statistics: {path}")
    return path


def annotated_loader(cfg: DictConfig) -> Iterable[list[dict[str, Any]]]:
    """The test loader, images resized as for the test, whose batches hold the objects, too."""
    loader = cfg.dataloader.test.copy()
    loader.mapper.is_train = True  # What makes Detectron2's mapper keep the annotations.
    return instantiate(loader)


@torch.no_grad()
def collect_statistics(
    model: GeneralizedRCNN, loader: Iterable[list[dict[str, Any]]]
) -> ConfusionStatistics:
    """Average the predictions for the objects of each class, over a data set.

    The samples are the proposals of the RPN at test time, all of them and none but them (no
    sampling, no added ground truth), whose IoU with an object is at least 0.5; each has the class
    of the object with the largest IoU. Crowds are no objects. The prediction is the score of each
    foreground class before any calibration, divided by their sum (PCB eqs. 1 and 3); for one-vs-all
    losses, too, so that the PwB of all losses compares. A cascade's is the mean of its stages on
    the proposals of the first. Runs in a single process.

    Args:
        model: detector; its mode is restored afterwards.
        loader: batches of image dicts with "instances", see :func:`annotated_loader`.

    Returns:
        Statistics on the CPU; sums are in float64.

    Raises:
        ValueError: the model has no :class:`BoxPredictor`, or no proposal finds an object.
    """
    predictors = [m for m in model.modules() if isinstance(m, BoxPredictor)]
    if not predictors:
        raise ValueError(
            f"{type(model).__name__} has no BoxPredictor, whose scores could be calibrated; give "
            "a two-stage model of rankdet."
        )
    num_classes = predictors[0].num_classes
    sums = torch.zeros(num_classes, num_classes, dtype=torch.float64, device=model.device)
    num_samples = torch.zeros(num_classes, dtype=torch.int64, device=model.device)
    was_training = model.training
    model.eval()
    for batch in tqdm(loader, unit="batch"):
        probs, labels = _samples(model, predictors, batch)
        sums.index_add_(0, labels, probs.double())
        num_samples += labels.bincount(minlength=num_classes)
    model.train(was_training)
    return _means(sums.cpu(), num_samples.cpu())


def _samples(
    model: GeneralizedRCNN, predictors: list[BoxPredictor], batch: list[dict[str, Any]]
) -> tuple[Tensor, Tensor]:
    """Predictions ``(F, C)`` and classes ``(F,)`` of the foreground proposals of a batch."""
    images = model.preprocess_image(batch)
    features = model.backbone(images.tensor)
    proposals, _ = model.proposal_generator(images, features, None)
    stages: list[Tensor] = []
    hooks = [p.calibration.register_forward_hook(_recorder(stages)) for p in predictors]
    try:
        model.roi_heads(images, features, proposals, None)
    finally:
        for hook in hooks:
            hook.remove()
    objects = [image["instances"].to(model.device) for image in batch]
    matches = [_match(p.proposal_boxes, o) for p, o in zip(proposals, objects, strict=True)]
    classes = torch.cat([classes for classes, _ in matches])
    is_foreground = torch.cat([is_match for _, is_match in matches])
    scores = torch.stack(stages).mean(dim=0)
    return foreground_probs(scores)[is_foreground], classes[is_foreground]


def _recorder(stages: list[Tensor]) -> Any:
    def record(module: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        del module, output
        stages.append(arguments[0])

    return record


def _match(boxes: Boxes, objects: Instances) -> tuple[Tensor, Tensor]:
    """Class of the nearest object of each box, and whether it is near enough."""
    if not len(objects):
        nothing = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return nothing, nothing.bool()
    ious, nearest = pairwise_iou(objects.gt_boxes, boxes).max(dim=0)
    return objects.gt_classes[nearest], ious >= MIN_IOU


def _means(sums: Tensor, num_samples: Tensor) -> ConfusionStatistics:
    if not num_samples.any():
        raise ValueError(
            f"no proposal has an IoU of {MIN_IOU} with an object of the data set, so nothing can "
            "be collected; train the model first, or choose another data set."
        )
    matrix = sums / num_samples.clamp(min=1).unsqueeze(1)
    return ConfusionStatistics(matrix.float(), num_samples)


def _load(run_or_config: Path, checkpoint: Path | None) -> tuple[DictConfig, str]:
    """The config, for the device that there is, and the path of the weights."""
    if not run_or_config.is_file():
        return load_run_config(run_or_config), find_checkpoint(run_or_config, checkpoint)
    cfg = load_config(str(run_or_config))
    if not torch.cuda.is_available():
        cfg.train.device = "cpu"
    return cfg, find_checkpoint(Path(cfg.train.output_dir), checkpoint)


def _summary(name: str, statistics: ConfusionStatistics) -> str:
    is_seen = statistics.is_seen
    num_samples, num_seen = int(statistics.num_samples.sum()), int(is_seen.sum())
    mean_score = statistics.matrix.diagonal()[is_seen].mean()
    bias = pairwise_bias(statistics.matrix, is_seen)
    text = f"{name}: PwB {bias:.3f}, mean score {mean_score:.3f} ({num_samples} proposals)"
    num_unseen = len(is_seen) - num_seen
    if num_unseen:
        text += (
            f"\n{num_unseen} of {len(is_seen)} classes have no proposal there: they are left out, "
            "and a calibration leaves their scores as they are."
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rankdet.tools.calibration",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run_or_config", metavar="RUN_FOLDER_OR_CONFIG", type=Path, help="a run, or its config file"
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="with annotations; default: what the config tests on"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", type=Path, help="weights; default: the last of the run"
    )
    return parser


if __name__ == "__main__":
    main()
