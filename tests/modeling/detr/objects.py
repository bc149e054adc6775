"""Random ground truth and predictions of transformer detectors."""

import torch
from detectron2.structures import Boxes, Instances

SIZES = [(60, 80), (100, 40), (64, 64), (30, 90)]  # height and width, pixels


def random_shares(num, generator):
    """Boxes ``(num, 4)`` inside the image: center x, center y, width, height in shares."""
    sizes = 0.1 + 0.4 * torch.rand(num, 2, generator=generator, dtype=torch.float64)
    centers = sizes / 2 + (1 - sizes) * torch.rand(num, 2, generator=generator, dtype=sizes.dtype)
    return torch.cat([centers, sizes], dim=1)


def in_pixels(shares, size):
    """Corners in pixels."""
    height, width = size
    x, y, w, h = shares.unbind(dim=1)
    corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
    return torch.stack(corners, dim=1)


def random_instances(num, generator, size=SIZES[0], num_classes=5):
    """Ground truth of an image."""
    boxes = Boxes(in_pixels(random_shares(num, generator), size))
    classes = torch.randint(num_classes, (num,), generator=generator)
    return Instances(size, gt_boxes=boxes, gt_classes=classes)


def random_batch(numbers, generator, num_classes=5):
    """Ground truth of images with so many objects, each image of another size."""
    return [
        random_instances(num, generator, SIZES[image % len(SIZES)], num_classes)
        for image, num in enumerate(numbers)
    ]
