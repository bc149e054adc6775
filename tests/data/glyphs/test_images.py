from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rankdet.data.glyphs.images import make_image
from rankdet.data.glyphs.plan import ImagePlan, plan_split


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path


def test_every_annotated_object_of_the_plan_is_annotated_and_no_other(recipe, folder):
    plan = ImagePlan(annotated=(2, 0, 2), unannotated=(0,), negatives=())
    annotations = make_image(recipe, "val", folder, 0, plan)
    assert [one["category_id"] for one in annotations] == [3, 1, 3]
    image = np.asarray(Image.open(folder / "images" / "000001.jpg"))
    assert image.shape == (recipe.image_size, recipe.image_size, 3)


def test_images_do_not_depend_on_the_order_of_their_making(recipe, folder):
    plans = list(enumerate(plan_split(recipe, "val")))

    def make(order):
        made = {index: make_image(recipe, "val", folder, index, plan) for index, plan in order}
        files = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
        return dict(sorted(made.items())), files

    assert make(plans) == make(plans[::-1])


def test_glyphs_that_never_fit_are_refused(recipe, folder):
    crowded = replace(recipe, image_size=20)
    plan = ImagePlan(annotated=(0, 1, 2, 3), unannotated=(), negatives=())
    with pytest.raises(
        ValueError, match=r"4 glyphs of 16 pixels find no place .* 20 pixels; lower"
    ):
        make_image(crowded, "val", folder, 0, plan)
