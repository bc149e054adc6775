"""The training images of transformer detectors, over many draws."""

import numpy as np
import pytest
from detectron2.config import instantiate
from detectron2.data import transforms
from fvcore.transforms.transform import CropTransform, HFlipTransform

from rankdet import model_zoo

SIZES = range(480, 801, 32)


def single(applied):
    """The transforms of nested lists, in their order."""
    if isinstance(applied, transforms.TransformList):
        return [one for part in applied.transforms for one in single(part)]
    return [applied]


@pytest.fixture(scope="module", params=["coco_detr", "lvis_v1_detr"])
def draws(request):
    """Size of the result and transforms of an image of 640 x 480, many times."""
    loader = model_zoo.get_config(f"common/data/{request.param}.py").dataloader.train
    augmentations = [instantiate(one) for one in loader.mapper.augmentations]
    np.random.seed(0)
    found = []
    for _ in range(300):
        image = transforms.AugInput(np.zeros((480, 640, 3), np.uint8))
        applied = single(transforms.AugmentationList(augmentations)(image))
        found.append((image.image.shape[:2], applied))
    return found


def has(kind, applied):
    return any(isinstance(one, kind) for one in applied)


def test_half_are_flipped_and_half_are_cropped(draws):
    for kind in (HFlipTransform, CropTransform):
        assert 0.4 < np.mean([has(kind, applied) for _, applied in draws]) < 0.6


def test_whole_images_have_one_of_eleven_sizes(draws):
    whole = [size for size, applied in draws if not has(CropTransform, applied)]
    assert {height for height, _ in whole} == set(SIZES)
    assert all(width == pytest.approx(height * 640 / 480, abs=1) for height, width in whole)


def test_crops_are_of_the_smaller_image_and_enlarged_again(draws):
    kinds = transforms.ResizeTransform, CropTransform, transforms.ResizeTransform
    sides, scales = [], set()
    for size, applied in draws:
        if has(CropTransform, applied):
            first, crop, second = [one for one in applied if isinstance(one, kinds)]
            assert (type(first), type(crop), type(second)) == kinds
            scales.add(first.new_h)
            sides += [crop.h, crop.w]
            assert min(size) in SIZES or max(size) == 1333
            assert size[0] / size[1] == pytest.approx(crop.h / crop.w, rel=0.01)
    assert scales == {400, 500, 600}
    assert min(sides) >= 384 and max(sides) <= 600 and len(set(sides)) > 100


def test_images_and_crops_without_objects_are_kept_on_coco():
    loader = model_zoo.get_config("common/data/coco_detr.py").dataloader.train
    assert loader.dataset.filter_empty is False
