"""Deformable DETR whose parts are injected.

Letters: B images, Q queries, G layers, C classes, K logits.
"""

from typing import Any

import torch
from detectron2.layers import move_device_like
from detectron2.modeling import Backbone, detector_postprocess
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from rankdet.losses.base import HeadLoss
from rankdet.modeling.box_predictor import STATS_PERIOD, check_num_classes, log_statistics
from rankdet.modeling.detr.decoder import Decoder
from rankdet.modeling.detr.encoder import Encoder
from rankdet.modeling.detr.ground_truth import as_one_class, check_ground_truth
from rankdet.modeling.detr.maps import Memory, padding_masks
from rankdet.modeling.detr.matching import HungarianMatcher
from rankdet.modeling.detr.neck import ChannelMapper
from rankdet.modeling.detr.queries import Predictions
from rankdet.modeling.detr.query_loss import QueryLoss, QueryTargets, targets_of_queries
from rankdet.modeling.detr.query_selection import QuerySelection, Selection
from rankdet.modeling.detr.shares import clipped_pixels


class DeformableDETR(nn.Module):
    """Two-stage Deformable DETR with box refinement, trained by any loss of rankdet.

    Encoder and decoder layers are matched to the objects one to one. There is no non-maximum
    suppression: every image has ``max_detections_per_image`` detections, most of them with a low
    score. A ranking loss fixes the order of scores and not their level, which stays near
    ``prior_prob`` for long.

    Source: Zhu et al., "Deformable DETR", ICLR 2021, as the base of Co-DETR has it: mixed
    selection, and boxes that look forward twice. Padding is not rounded up.

    Args:
        backbone: as in Detectron2.
        neck: takes the backbone's features to maps of one width.
        encoder: of these maps.
        query_selection: chooses the queries among the encoder's tokens.
        decoder: of the queries.
        matcher: matches predictions and objects.
        selection_loss: of the encoder's tokens; its loss has one class and one logit.
        loss: of each layer of the decoder; fixes the scores.
        num_classes: C; must be the loss's.
        prior_prob: probability of each class to start from.
        max_detections_per_image: largest number of detections, LVIS: 300.
        test_score_thresh: smallest score of a detection.
        pixel_mean: as in Detectron2.
        pixel_std: see there.

    Raises:
        ValueError: ``num_classes``, the losses and the decoder's heads do not fit, or
            ``prior_prob`` is no probability.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(  # noqa: PLR0913  (the injected parts)
        self,
        *,
        backbone: Backbone,
        neck: ChannelMapper,
        encoder: Encoder,
        query_selection: QuerySelection,
        decoder: Decoder,
        matcher: HungarianMatcher,
        selection_loss: QueryLoss,
        loss: QueryLoss,
        num_classes: int,
        prior_prob: float = 0.01,
        max_detections_per_image: int = 100,
        test_score_thresh: float = 0.0,
        pixel_mean: list[float],
        pixel_std: list[float],
    ) -> None:
        check_num_classes(num_classes, loss.loss)
        _check_heads(decoder, loss.loss, selection_loss.loss)
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.encoder = encoder
        self.query_selection = query_selection
        self.decoder = decoder
        self.matcher = matcher
        self.selection_loss = selection_loss
        self.loss = loss
        self.num_classes = num_classes
        self.max_detections_per_image = max_detections_per_image
        self.test_score_thresh = test_score_thresh
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)
        for head in decoder.class_heads:
            head.get_parameter("bias").data.copy_(loss.loss.initial_logits(prior_prob))
        bias = selection_loss.loss.initial_logits(prior_prob)
        query_selection.class_head.bias.data.copy_(bias)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Train or detect.

        Args:
            batched_inputs: as in Detectron2: "image", in training "instances"; "height" and "width"
                of the results, if they are not the image's.

        Returns:
            In training scalars to sum, by name; else one ``{"instances": Instances}`` per image
            with ``pred_boxes``, ``scores`` and ``pred_classes``, by descending score.

        Raises:
            ValueError: ground truth is missing, or has boxes that are empty or not finite.
            FloatingPointError: in training, scores or boxes are not finite.
        """
        if self.training:
            check_ground_truth(batched_inputs, self.num_classes)
        images = self.preprocess_image(batched_inputs)
        memory = self._encode(images)
        if self.training:
            gt_instances = [x["instances"].to(self.device) for x in batched_inputs]
            losses = self._losses(memory, gt_instances)
            return {**losses, **self.auxiliary_losses(images, memory, gt_instances)}
        detections = self.detect(images, memory)
        return [
            {"instances": detector_postprocess(found, x.get("height", h), x.get("width", w))}
            for found, x, (h, w) in zip(detections, batched_inputs, images.image_sizes, strict=True)
        ]

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalize, pad and batch the images."""
        images = [move_device_like(x["image"], self.pixel_mean) for x in batched_inputs]
        return ImageList.from_tensors(
            [(image - self.pixel_mean) / self.pixel_std for image in images],
            self.backbone.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        )

    def auxiliary_losses(
        self, images: ImageList, memory: Memory, gt_instances: list[Instances]
    ) -> dict[str, Tensor]:
        """What a subclass trains besides; here nothing.

        Args:
            images: B.
            memory: of these images.
            gt_instances: of these images.

        Returns:
            Scalars to sum.
        """
        return {}

    def detect(self, images: ImageList, memory: Memory) -> list[Instances]:
        """Detections of each image in pixels of what the model sees, by descending score.

        Args:
            images: B.
            memory: of these images.
        """
        predictions = self.decoder(self.query_selection(memory).queries, memory)
        scores = _scores(self.loss.loss, predictions.logits[-1:])[0]
        return [
            self._detections(*image)
            for image in zip(scores, predictions.boxes[-1], images.image_sizes, strict=True)
        ]

    def _detections(self, scores: Tensor, boxes: Tensor, size: tuple[int, int]) -> Instances:
        """The best pairs of query and class."""
        flat = scores.flatten()
        best, indices = flat.topk(min(self.max_detections_per_image, len(flat)))
        found = Instances(
            size,
            pred_boxes=clipped_pixels(boxes[indices // self.num_classes], size),
            scores=best,
            pred_classes=indices % self.num_classes,
        )
        return found[best >= self.test_score_thresh]

    def _encode(self, images: ImageList) -> Memory:
        maps = self.neck(self.backbone(images.tensor))
        padded_size = images.tensor.shape[-2:]
        shapes = [x.shape[-2:] for x in maps]
        masks = padding_masks(images.image_sizes, padded_size, shapes, images.device)
        memory: Memory = self.encoder(maps, masks)
        return memory

    def _losses(self, memory: Memory, gt_instances: list[Instances]) -> dict[str, Tensor]:
        selection = self.query_selection(memory)
        encoder_losses = self._selection_losses(selection, gt_instances)
        predictions = self.decoder(selection.queries, memory)
        targets = self._targets(predictions, gt_instances)
        losses = self.loss(predictions, targets)
        self._log(predictions, targets)
        named = {f"loss_encoder_{x.removeprefix('loss_')}": y for x, y in encoder_losses.items()}
        return {**losses, **named}

    def _selection_losses(
        self, selection: Selection, gt_instances: list[Instances]
    ) -> dict[str, Tensor]:
        """Every object is of class 0 here."""
        objects = [as_one_class(x) for x in gt_instances]
        logits, boxes = selection.predictions
        scores = _scores(self.selection_loss.loss, logits.detach())
        matches = self.matcher(scores, boxes.detach(), objects, selection.is_candidate)
        targets = targets_of_queries(matches, objects, 1, selection.is_candidate)
        losses: dict[str, Tensor] = self.selection_loss(selection.predictions, targets)
        return losses

    def _targets(self, predictions: Predictions, gt_instances: list[Instances]) -> QueryTargets:
        scores = _scores(self.loss.loss, predictions.logits.detach())
        matches = self.matcher(scores, predictions.boxes.detach(), gt_instances)
        return targets_of_queries(matches, gt_instances, self.num_classes)

    def _log(self, predictions: Predictions, targets: QueryTargets) -> None:
        """Log now and then the level of the scores that the matcher sees."""
        storage = get_event_storage()
        if storage.iter % STATS_PERIOD == 0:
            labels = targets.labels[-1].flatten()
            rows = (labels < self.num_classes).nonzero().squeeze(1)
            scores = _scores(self.loss.loss, predictions.logits[-1:].detach()).flatten(0, 2)
            if len(rows):
                storage.put_scalar("detr/matched_score", scores[rows, labels[rows]].mean().item())
        log_statistics(self.loss.loss, "detr")


def _scores(loss: HeadLoss, logits: Tensor) -> Tensor:
    """Scores ``(G, B, Q, C)`` of logits ``(G, B, Q, K)``, in float32 or wider."""
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return loss.foreground_scores(wide.flatten(0, 2)).view(*logits.shape[:3], -1)


def _check_heads(decoder: Decoder, loss: HeadLoss, selection_loss: HeadLoss) -> None:
    num_outputs = len(decoder.class_heads[0].get_parameter("bias"))
    if num_outputs != loss.num_logits:
        raise ValueError(
            f"decoder has num_logits={num_outputs}, but {type(loss).__name__} needs "
            f"{loss.num_logits}; set model.decoder.num_logits={loss.num_logits}."
        )
    if (selection_loss.num_classes, selection_loss.num_logits) != (1, 1):
        raise ValueError(
            f"selection_loss is for {selection_loss.num_classes} classes with "
            f"{selection_loss.num_logits} logits, but the encoder only tells objects from "
            "background; give a loss with num_classes=1 and one logit."
        )
