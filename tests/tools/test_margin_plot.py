import pytest
import torch

from rankdet.data.frequency_groups import Classes
from rankdet.losses.ecm import ECMLoss, class_margins
from rankdet.tools.margin_plot import plot_margins

CLASSES = Classes(["x", "y", "z"], ["c", "f", "r"])


@pytest.fixture
def loss():
    return ECMLoss([20.0, 500.0, 3.0], background_ratio=2.0)


def axes_by_label(figure, label):
    return [axes for axes in figure.axes if axes.get_ylabel().startswith(label)]


def points(axes):
    return [tuple(point) for scatter in axes.collections for point in scatter.get_offsets().data]


@pytest.mark.parametrize("kind", ["margin", "weight"])
def test_classes_and_background_lie_on_the_curves(loss, kind):
    axes = next(x for x in plot_margins(loss, CLASSES).axes if x.get_ylabel() == kind)
    ratios = loss.num_neg / loss.num_pos
    margins = torch.cat(class_margins(loss.num_pos, loss.num_neg))
    expected = margins if kind == "margin" else 1 / margins
    found = torch.tensor(points(axes), dtype=torch.float64)
    torch.testing.assert_close(found, torch.stack([ratios.repeat(2), expected], dim=1))
    for curve in axes.lines:
        x = torch.as_tensor(curve.get_xdata())
        assert x.min() < ratios.min() and x.max() > ratios.max()
    assert axes.get_xscale() == "log"


def test_weights_by_class_are_sorted_by_frequency_with_background(loss):
    figure = plot_margins(loss, CLASSES)
    for sign, margin in zip("+-", class_margins(loss.num_pos, loss.num_neg), strict=True):
        (axes,) = axes_by_label(figure, f"weight $w^{sign}$")
        # 1,046 background samples, 500 of y, 20 of x and 3 of z.
        assert [label.get_text() for label in axes.get_xticklabels()] == ["bg", "y", "x", "z"]
        expected = (1 / margin)[[3, 1, 0, 2]].tolist()
        assert [y for _, y in points(axes)] == pytest.approx(expected)
        assert axes.get_yscale() == "log"


def test_class_axis_of_lvis_stays_readable():
    num_classes = 1203
    classes = Classes([f"class_{index}" for index in range(num_classes)], ["f"] * num_classes)
    figure = plot_margins(ECMLoss(torch.arange(1, num_classes + 1), 1.0), classes)
    for axes in axes_by_label(figure, "weight $"):
        assert len(axes.get_xticks()) < 20
        assert len(points(axes)) == num_classes + 1


def test_title_names_ratio_and_stage(loss):
    title = plot_margins(loss, CLASSES).get_suptitle()
    assert "3 classes" in title and "2.00 background" in title and "stage" not in title
    assert "first of 3 cascade stages" in plot_margins(loss, CLASSES, num_stages=3).get_suptitle()
