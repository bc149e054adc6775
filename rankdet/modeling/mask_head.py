"""Mask heads: with an injected last layer, and with the Dice loss of the ranking losses."""

from collections.abc import Callable

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead
from detectron2.structures import Instances
from torch import Tensor, nn

from rankdet.losses.dice import dice_losses
from rankdet.losses.ranking import weighted_mean


def conv_predictor(in_channels: int, num_classes: int) -> nn.Conv2d:
    """Make a 1 x 1 convolution that starts without bias and at Kaiming's normal weights (fan out).

    Source: mmdetection, in all releases: a standard deviation of sqrt(2 / C). Detectron2 starts at
    0.001.
    """
    layer = nn.Conv2d(in_channels, num_classes, kernel_size=1)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class MaskHead(MaskRCNNConvUpsampleHead):
    """Detectron2's mask head with ``predictor`` as its last layer.

    With the default it starts as in the releases of Mask R-CNN; Detectron2's own head differs in
    nothing else. In mmdetection's cascades, initialization skips the mask heads, so that the
    up-sampling and the last layer start there as PyTorch's do: smaller by 2.4 and, with 1,203
    classes, by 1.1.

    Args:
        input_shape: shape of the pooled feature.
        num_classes: C; one mask per class.
        conv_dims: channels of the convolutions; the last is the up-sampling one.
        predictor: (in_channels, num_classes) -> initialized 1 x 1 layer, for instance
            ``NormedConv2d.with_temperature(20)``.
        loss_weight: weight of the mask loss.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        conv_dims: list[int],
        predictor: Callable[[int, int], nn.Module] = conv_predictor,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(
            input_shape,
            num_classes=num_classes,
            conv_dims=list(conv_dims),
            loss_weight=loss_weight,
        )
        self.predictor: nn.Module = predictor(self.deconv.out_channels, num_classes)


class DiceMaskHead(MaskHead):
    """Detectron2's mask head trained by the Dice loss of the ground-truth class's mask.

    RoIs are weighted by the ``score_weights`` that
    :class:`rankdet.modeling.box_predictor.BoxPredictor` leaves in the proposals.

    Source: the released RS code, but there the weights of more than ``max_positives`` RoIs of
    several images go to the wrong RoIs.

    Args:
        input_shape: shape of the pooled feature.
        num_classes: C; one mask per class, or 1 for class-agnostic masks.
        conv_dims: channels of the convolutions; the last is the up-sampling one.
        predictor: (in_channels, num_classes) -> last layer.
        loss_weight: weight of the mask loss; RS Loss balances it away.
        max_positives: largest number of RoIs of all images of a process that are trained, a random
            subset; without sampling of proposals there can be many.

    Raises:
        ValueError: ``max_positives`` is not positive.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        conv_dims: list[int],
        predictor: Callable[[int, int], nn.Module] = conv_predictor,
        loss_weight: float = 1.0,
        max_positives: int = 200,
    ) -> None:
        if max_positives < 1:
            raise ValueError(f"max_positives is {max_positives}; train at least one RoI.")
        super().__init__(
            input_shape,
            num_classes=num_classes,
            conv_dims=conv_dims,
            predictor=predictor,
            loss_weight=loss_weight,
        )
        self.max_positives = max_positives

    def forward(self, x: Tensor, instances: list[Instances]) -> dict[str, Tensor] | list[Instances]:
        """Losses in training, else Detectron2's masks.

        Args:
            x: ``(R, channels, H, W)`` pooled features of the R foreground proposals of all images.
            instances: the proposals, one ``Instances`` per image.

        Returns:
            ``loss_mask``, or the instances with ``pred_masks``.
        """
        if not self.training:
            with_masks: list[Instances] = super().forward(x, instances)
            return with_masks
        x, instances = random_subset(x, instances, self.max_positives)
        instances = [image for image in instances if len(image)]
        logits = self.layers(x)
        if not instances:
            return {"loss_mask": logits.sum() * 0.0}
        losses = dice_losses(_logits_of_classes(logits, instances), _gt_masks(logits, instances))
        weights = torch.cat([image.score_weights for image in instances])
        return {"loss_mask": weighted_mean(losses, weights) * self.loss_weight}


def random_subset(
    x: Tensor, instances: list[Instances], size: int
) -> tuple[Tensor, list[Instances]]:
    """Keep at most ``size`` of the R RoIs of all images, with their features."""
    if len(x) <= size:
        return x, instances
    is_kept = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    is_kept[torch.randperm(len(x), device=x.device)[:size]] = True
    parts = is_kept.split([len(image) for image in instances])
    return x[is_kept], [image[part] for image, part in zip(instances, parts, strict=True)]


def _logits_of_classes(logits: Tensor, instances: list[Instances]) -> Tensor:
    """``(R, H, W)``: the mask of each RoI's ground-truth class, or the class-agnostic one."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    classes = torch.cat([image.gt_classes for image in instances])
    return logits[torch.arange(len(classes), device=classes.device), classes]


def _gt_masks(logits: Tensor, instances: list[Instances]) -> Tensor:
    """``(R, H, W)`` bool: ground truth, cropped to the proposals."""
    side = logits.shape[-1]
    masks = [x.gt_masks.crop_and_resize(x.proposal_boxes.tensor, side) for x in instances]
    return torch.cat([mask.to(logits.device) for mask in masks])
