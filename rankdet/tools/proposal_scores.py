"""Scores of a two-stage model for its proposals at test time, and the class of each proposal.

Shapes: N proposals of an image, C foreground classes.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances, pairwise_iou
from omegaconf import DictConfig
from torch import Tensor, nn
from tqdm import tqdm

from rankdet.modeling.box_predictor import BoxPredictor
from rankdet.tools.dataset import evenly_spaced

MIN_IOU = 0.5  # of a foreground proposal, as in the training of Fast R-CNN


class ScoredProposals(NamedTuple):
    """The N proposals of an image.

    Attributes:
        image: the dict of the data loader.
        scores: ``(N, C + 1)`` that rank the detections, background last.
        uncalibrated_scores: ``(N, C + 1)``, before the calibration of the predictor.
        labels: ``(N,)`` int64 in [0, C]; C is background.
    """

    image: dict[str, Any]
    scores: Tensor
    uncalibrated_scores: Tensor
    labels: Tensor


def annotated_loader(
    cfg: DictConfig, num_images: int | None = None
) -> Iterable[list[dict[str, Any]]]:
    """The test loader, images resized as for the test, whose batches hold the objects, too.

    Args:
        cfg: experiment.
        num_images: at most so many, spread evenly over the data set; None: all.
    """
    loader = cfg.dataloader.test.copy()
    if num_images is not None:
        loader.dataset = L(evenly_spaced)(records=loader.dataset, number=num_images)
    loader.mapper.is_train = True  # What makes Detectron2's mapper keep the annotations.
    annotated: Iterable[list[dict[str, Any]]] = instantiate(loader)
    return annotated


def box_predictors(model: nn.Module) -> list[BoxPredictor]:
    """The predictors of a model, one for each stage of a cascade.

    Raises:
        ValueError: it has none, or is no two-stage model: Co-DETR has one in a collaborative head.
    """
    predictors = [m for m in model.modules() if isinstance(m, BoxPredictor)]
    if not predictors or not isinstance(model, GeneralizedRCNN):
        raise ValueError(
            f"{type(model).__name__} has no BoxPredictor for its detections, so it scores no "
            "proposals; give a two-stage model of rankdet."
        )
    return predictors


@torch.no_grad()
def score_proposals(
    model: GeneralizedRCNN, loader: Iterable[list[dict[str, Any]]]
) -> Iterator[ScoredProposals]:
    """Run a model over a data set and score all proposals of the RPN.

    Nothing is sampled and no ground truth is added, so these are the proposals of test time. A
    proposal has the class of the object with the largest IoU if that is at least 0.5, else it is
    background. Crowds are no objects. A cascade's scores are those that rank its detections, on the
    proposals of the first stage. Runs in a single process.

    Args:
        model: detector; its mode is restored afterwards.
        loader: batches of image dicts with "instances", see :func:`annotated_loader`.

    Yields:
        Image after image, on the device of the model.

    Raises:
        ValueError: the model has no :class:`BoxPredictor`.
    """
    predictors = box_predictors(model)
    was_training = model.training
    model.eval()
    try:
        for batch in tqdm(loader, unit="batch"):
            yield from _score_batch(model, predictors, batch)
    finally:
        model.train(was_training)


def _score_batch(
    model: GeneralizedRCNN, predictors: list[BoxPredictor], batch: list[dict[str, Any]]
) -> Iterator[ScoredProposals]:
    images = model.preprocess_image(batch)
    features = model.backbone(images.tensor)
    proposals, _ = model.proposal_generator(images, features, None)
    stages: list[tuple[Tensor, Tensor]] = []
    with ExitStack() as hooks:
        for predictor in predictors:
            hooks.enter_context(predictor.calibration.register_forward_hook(_recorder(stages)))
        model.roi_heads._forward_box(features, proposals)  # Masks would take most of the time.
    sizes = [len(image) for image in proposals]
    before, after = (
        torch.split(torch.stack(scores).mean(dim=0), sizes) for scores in zip(*stages, strict=True)
    )
    for image, boxes, uncalibrated, scores in zip(batch, proposals, before, after, strict=True):
        objects = image["instances"].to(model.device)
        labels = _label(boxes.proposal_boxes, objects, background=scores.shape[1] - 1)
        yield ScoredProposals(image, scores, uncalibrated, labels)


def _recorder(stages: list[tuple[Tensor, Tensor]]) -> Any:
    def record(module: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        del module
        stages.append((arguments[0], output))

    return record


def _label(boxes: Boxes, objects: Instances, *, background: int) -> Tensor:
    if not len(objects):
        return torch.full((len(boxes),), background, device=boxes.device)
    ious, nearest = pairwise_iou(objects.gt_boxes, boxes).max(dim=0)
    labels: Tensor = objects.gt_classes[nearest].masked_fill(ious < MIN_IOU, background)
    return labels
