"""How often repeat factor sampling shows an image, as mmdetection counts it."""

from collections import Counter
from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor


def whole_repeat_factors(dataset_dicts: Sequence[dict[str, Any]], repeat_thresh: float) -> Tensor:
    """Count how often each image is shown per epoch: r = max(1, sqrt(threshold / f)), rounded up.

    f is the share of the images that have the image's rarest class. Detectron2 rounds r up or down
    at random, in every epoch, to r on average; mmdetection's ``ClassBalancedDataset``, by which
    the results on LVIS were made, always rounds up: an image with r = 1.1 is shown twice.

    Args:
        dataset_dicts: N records of Detectron2, with annotations.
        repeat_thresh: share of the images below which a class is repeated, LVIS: 1e-3.

    Returns:
        ``(N,)`` float, whole numbers from 1 on, for Detectron2's ``RepeatFactorTrainingSampler``.
    """
    classes = [{one["category_id"] for one in image["annotations"]} for image in dataset_dicts]
    num_images = Counter(class_id for found in classes for class_id in found)
    limit = repeat_thresh * len(classes)
    repeats = {class_id: max(1.0, sqrt(limit / n)) for class_id, n in num_images.items()}
    return torch.tensor(
        [
            float(ceil(max((repeats[class_id] for class_id in found), default=1)))
            for found in classes
        ]
    )
