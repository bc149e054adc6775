import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from rankdet.tools.object_overlay import draw_objects

SIZE = 200


@pytest.fixture
def figure():
    """As large as the image, so that a pixel of one is a pixel of the other."""
    figure = Figure(figsize=(SIZE / 100, SIZE / 100), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def draw(figure, boxes, labels, colors, masks=None):
    axes = figure.add_axes([0, 0, 1, 1])
    objects = Instances((SIZE, SIZE), pred_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)))
    if masks is not None:
        objects.pred_masks = masks
    draw_objects(axes, np.zeros((SIZE, SIZE, 3), dtype=np.uint8), objects, labels, colors)
    figure.canvas.draw()
    return axes


def frames(axes):
    return [text.get_bbox_patch().get_window_extent() for text in axes.texts]


def test_masks_are_tinted_and_boxes_and_labels_have_their_color(figure):
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    masks[0, 50:100, 50:100] = True  # the second has no pixel, as a bad prediction may
    axes = draw(
        figure,
        [[40.0, 40.0, 110.0, 110.0], [120.0, 120.0, 190.0, 190.0]],
        ["★ 0.90", "b 0.50"],
        ["tab:red", "tab:green"],
        masks,
    )
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    faded, tinted = image[150, 150], image[75, 75]
    assert tinted == pytest.approx(0.6 * faded + 0.4 * np.array(to_rgb("tab:red")), abs=0.02)
    assert [patch.get_edgecolor()[:3] for patch in axes.patches] == [
        to_rgb("tab:red"),
        to_rgb("tab:green"),
    ]
    assert {text.get_text() for text in axes.texts} == {"★ 0.90", "b 0.50"}


def test_characters_of_glyphs_are_drawn(figure, recwarn):
    from rankdet.data.glyphs.characters import CHARACTERS

    boxes = [[50.0, 50.0, 60.0, 60.0]] * 36
    draw(figure, boxes, list(CHARACTERS[:36]), ["tab:red"] * 36)
    assert not [one for one in recwarn if "missing from" in str(one.message)]


@pytest.mark.parametrize(
    "box", [[0, 0, 30, 30], [170, 0, 200, 30], [0, 170, 30, 200], [170, 170, 200, 200]]
)
def test_labels_stay_in_the_image(figure, box):
    axes = draw(figure, [[float(side) for side in box]], ["zebra 0.99"], ["tab:red"])
    (frame,) = frames(axes)
    assert min(frame.x0, frame.y0) >= -1 and max(frame.x1, frame.y1) <= SIZE + 1


def test_labels_of_the_same_box_do_not_overlap(figure):
    axes = draw(figure, [[60.0, 60.0, 130.0, 130.0]] * 3, ["a 0.90", "b 0.80", "c 0.70"], "rgb")
    drawn = frames(axes)
    assert not any(one.overlaps(other) for one in drawn for other in drawn if one is not other)


def test_images_without_objects_and_models_without_masks_are_drawn(figure):
    assert not draw(figure, [], [], []).texts
    assert len(draw(figure, [[10.0, 10.0, 90.0, 90.0]], ["a"], ["tab:red"]).texts) == 1


def test_dollars_are_no_formulas(figure):
    (text,) = draw(figure, [[10.0, 10.0, 90.0, 90.0]], ["$x$"], ["tab:red"]).texts
    assert not text.get_parse_math()
