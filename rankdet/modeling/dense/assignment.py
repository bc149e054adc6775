"""Which anchor is trained to find which object: the interface, and the rules of Detectron2."""

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor

from rankdet.losses import IGNORED
from rankdet.modeling.padding import is_on_image, padded_size


class AnchorTargets(NamedTuple):
    """What the anchors of all images are trained to be.

    Attributes:
        labels: ``(I, A)`` int64 in [0, C]; C is background, -1 ignored.
        gt_boxes: ``(I, A, 4)`` their ground truth, pixels; that of background means nothing.
    """

    labels: Tensor
    gt_boxes: Tensor


class Assigner(Protocol):
    """A rule that labels anchors."""

    def __call__(
        self, anchors: list[Boxes], gt_instances: list[Instances], logits: Tensor, deltas: Tensor
    ) -> AnchorTargets:
        """Label the anchors of all images.

        Args:
            anchors: those of one image, by level.
            gt_instances: ``gt_boxes`` and ``gt_classes`` of I images; an image may have none.
            logits: ``(I, A, C)`` predicted, without gradient, whose sigmoid the loss brings to 0
                or 1; most rules ignore them.
            deltas: ``(I, A, 4)`` predicted, without gradient.

        Returns:
            One label and box per anchor.
        """
        ...


class Positives(NamedTuple):
    """The F anchors that have an object.

    Attributes:
        images: ``(F,)`` image of each.
        indices: ``(F,)`` its place among the image's A anchors.
        anchors: ``(F, 4)`` pixels.
        gt_boxes: ``(F, 4)`` pixels.
    """

    images: Tensor
    indices: Tensor
    anchors: Tensor
    gt_boxes: Tensor

    def take(self, predictions: Tensor) -> Tensor:
        """``(F, K)`` of the foreground out of ``(I, A, K)``."""
        return predictions[self.images, self.indices]


def find_positives(targets: AnchorTargets, anchors: list[Boxes], num_classes: int) -> Positives:
    """Pick the anchors that have an object, image by image."""
    labels = targets.labels
    images, indices = ((labels >= 0) & (labels < num_classes)).nonzero(as_tuple=True)
    return Positives(
        images=images,
        indices=indices,
        anchors=Boxes.cat(anchors).tensor[indices],
        gt_boxes=targets.gt_boxes[images, indices],
    )


def targets_of_matches(
    matches: list[Tensor], gt_instances: list[Instances], num_classes: int
) -> AnchorTargets:
    """Turn the object of each anchor into labels and boxes.

    Args:
        matches: per image ``(A,)`` int64, the object of each anchor or -1 for background.
        gt_instances: ``gt_boxes`` and ``gt_classes`` of these images.
        num_classes: C.

    Returns:
        One label and box per anchor.
    """
    labels, boxes = [], []
    for matched, gt in zip(matches, gt_instances, strict=True):
        # Index -1 is the row that stands for background.
        classes = gt.gt_classes
        labels.append(torch.cat([classes, classes.new_full((1,), num_classes)])[matched])
        gt_boxes = gt.gt_boxes.tensor
        boxes.append(torch.cat([gt_boxes, gt_boxes.new_zeros(1, 4)])[matched])
    return AnchorTargets(torch.stack(labels), torch.stack(boxes))


class OnImageAssigner:
    """Another rule, for the anchors of each image alone; those over its padding are ignored.

    They are no candidates of the rule either. Images of one padded size go to it together.

    Source: mmdetection, whose RetinaNet, ATSS and PAA do so; in its VarifocalNet they are no
    candidates either, but background, and its FCOS has no such rule.

    Args:
        assigner: the rule.
        anchor_generator: makes the anchors.
        divisor: images have anchors up to a multiple of so many pixels; see
            :func:`rankdet.modeling.padding.is_on_image`.
        label: of anchors over padding; -1 ignores them, the number of classes is background.
    """

    def __init__(
        self,
        assigner: Assigner,
        anchor_generator: DefaultAnchorGenerator,
        divisor: int = 32,
        label: int = IGNORED,
    ) -> None:
        self.assigner = assigner
        self.anchor_generator = anchor_generator
        self.divisor = divisor
        self.label = label

    @torch.no_grad()
    def __call__(
        self, anchors: list[Boxes], gt_instances: list[Instances], logits: Tensor, deltas: Tensor
    ) -> AnchorTargets:
        """See :meth:`Assigner.__call__`."""
        labels = torch.full(deltas.shape[:2], self.label, device=deltas.device)
        targets = AnchorTargets(labels, anchors[0].tensor.new_zeros(deltas.shape))
        images_by_size = defaultdict(list)
        for image, gt in enumerate(gt_instances):
            images_by_size[padded_size(gt.image_size, self.divisor)].append(image)
        for size, images in images_by_size.items():
            mask = is_on_image(anchors, self.anchor_generator, size, self.divisor)
            masks = mask.split([len(level) for level in anchors])
            # The places of these images and anchors in (I, A).
            places = torch.tensor(images, device=mask.device)[:, None], mask.nonzero().flatten()
            found = self.assigner(
                [level[part] for level, part in zip(anchors, masks, strict=True)],
                [gt_instances[image] for image in images],
                logits[places],
                deltas[places],
            )
            for target, part in zip(targets, found, strict=True):
                target[places] = part
        return targets


class IoUAssigner:
    """RetinaNet's rule: an anchor belongs to the object with which its IoU is largest.

    Args:
        matcher: ``(G, A)`` IoUs -> object and label of each anchor; for RetinaNet
            :class:`rankdet.modeling.matching.BestAnchorMatcher` or Detectron2's matcher with
            low-quality matches, thresholds (.4, .5) and labels (0, -1, 1).
        num_classes: C.
    """

    def __init__(
        self, matcher: Callable[[Tensor], tuple[Tensor, Tensor]], num_classes: int
    ) -> None:
        self.matcher = matcher
        self.num_classes = num_classes

    def __call__(
        self, anchors: list[Boxes], gt_instances: list[Instances], logits: Tensor, deltas: Tensor
    ) -> AnchorTargets:
        """See :meth:`Assigner.__call__`; the predictions do not matter."""
        all_anchors = Boxes.cat(anchors)
        pairs = [self.matcher(pairwise_iou(gt.gt_boxes, all_anchors)) for gt in gt_instances]
        kinds = torch.stack([kind for _, kind in pairs])
        matches = [matched.where(kind == 1, -1) for matched, kind in pairs]
        targets = targets_of_matches(matches, gt_instances, self.num_classes)
        return targets._replace(labels=targets.labels.masked_fill(kinds == -1, IGNORED))


class CenterAssigner:
    """FCOS's rule: an anchor point near the center of an object, at the level of the object's size.

    A point belongs to an object if it lies inside its box, less than ``radius`` strides from its
    center along either axis, and the farthest side of the box is between 4 and 8 strides away
    (nearer at the finest level, farther at the coarsest); of several objects to the smallest.

    Source: FCOS as in mmdetection with ``center_sampling``; with an infinite radius as without.
    4 and 8 strides belong to both levels. Detectron2's leaves both out, and compares areas in steps
    of 8 square pixels; here, exactly. Of objects of equal area the first counts.

    Args:
        num_classes: C.
        radius: strides.

    Raises:
        ValueError: ``radius`` is not positive.
    """

    def __init__(self, num_classes: int, radius: float = 1.5) -> None:
        if not radius > 0:
            raise ValueError(f"radius is {radius}, where no point has an object; FCOS has 1.5.")
        self.num_classes = num_classes
        self.radius = radius

    def __call__(
        self, anchors: list[Boxes], gt_instances: list[Instances], logits: Tensor, deltas: Tensor
    ) -> AnchorTargets:
        """See :meth:`Assigner.__call__`; anchors are squares with sides of one stride."""
        points = Boxes.cat(anchors)
        strides = points.tensor[:, 2] - points.tensor[:, 0]
        nearest, farthest = 4 * strides, 8 * strides
        nearest[: len(anchors[0])] = 0
        farthest[len(points) - len(anchors[-1]) :] = torch.inf
        ranges = torch.stack([nearest, farthest, self.radius * strides])
        matches = [
            _smallest_match(points.get_centers(), ranges, gt.gt_boxes) for gt in gt_instances
        ]
        return targets_of_matches(matches, gt_instances, self.num_classes)


def _smallest_match(centers: Tensor, ranges: Tensor, gt_boxes: Boxes) -> Tensor:
    """Smallest object of each point, -1 if it has none; ``(A,)``."""
    if len(gt_boxes) == 0:
        return torch.full((len(centers),), -1, device=centers.device)
    corners = gt_boxes.tensor
    # (A, G, 2) each
    sides = torch.cat([centers[:, None] - corners[:, :2], corners[:, 2:] - centers[:, None]], dim=2)
    offsets = (centers[:, None] - gt_boxes.get_centers()).abs().amax(dim=2)
    nearest, farthest, radius = ranges.unsqueeze(2)
    largest = sides.amax(dim=2)
    is_match = (sides.amin(dim=2) > 0) & (offsets < radius)
    is_match &= (largest >= nearest) & (largest <= farthest)
    areas: Tensor = gt_boxes.area().where(is_match, torch.inf)
    smallest, matched = areas.min(dim=1)
    return matched.where(smallest < torch.inf, -1)
