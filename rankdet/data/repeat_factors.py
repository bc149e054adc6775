"""How often repeat factor sampling shows an image, as mmdetection counts it."""

from collections.abc import Sequence
from typing import Any

from detectron2.data.samplers import RepeatFactorTrainingSampler
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
    factors: Tensor = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
        dataset_dicts, repeat_thresh
    )
    return factors.ceil()
