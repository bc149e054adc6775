import math

import pytest
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler

from rankdet.data import whole_repeat_factors


def images(*classes: list[int]) -> list[dict]:
    return [{"annotations": [{"category_id": k} for k in found]} for found in classes]


def slowly(classes: list[list[int]], threshold: float) -> list[float]:
    """By the definition: for every image, the rarest of its classes, counted for it alone."""
    factors = []
    for found in classes:
        factor = 1.0
        for class_id in found:
            share = sum(class_id in other for other in classes) / len(classes)
            factor = max(factor, math.sqrt(threshold / share))
        factors.append(math.ceil(factor))
    return factors


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_factors_are_those_of_the_definition(threshold, seed):
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(40, 6, generator=generator) < torch.tensor([0.6, 0.3, 0.15, 0.08, 0.05, 0])
    classes = [row.nonzero().flatten().tolist() * 2 for row in draws]  # Two objects of each.
    found = whole_repeat_factors(images(*classes), threshold)
    assert found.dtype == torch.float32 and found.tolist() == slowly(classes, threshold)


def test_a_factor_above_one_means_twice_where_detectron2_rounds_at_random():
    classes = [[0]] * 9 + [[0, 1]]  # r = sqrt(0.121 / 0.1) = 1.1 for the last image
    factors = whole_repeat_factors(images(*classes), 0.121)
    assert factors.tolist() == [1.0] * 9 + [2.0]
    plain = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency
    assert plain(images(*classes), 0.121)[-1].item() == pytest.approx(1.1)
    sampler = RepeatFactorTrainingSampler(factors, shuffle=False)
    epoch = [next(iterator) for iterator in [iter(sampler)] for _ in range(11)]
    assert epoch == [*range(10), 9]


def test_images_without_objects_are_shown_once():
    assert whole_repeat_factors(images([], [3]), 0.9).tolist() == [1.0, 2.0]
    assert whole_repeat_factors([], 0.9).tolist() == []
