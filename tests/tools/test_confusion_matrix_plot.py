import numpy as np
import pytest
import torch
from matplotlib.colors import LogNorm, to_rgb

from rankdet.data.frequency_groups import Classes
from rankdet.modeling.calibration import ConfusionStatistics
from rankdet.tools.confusion_matrix_plot import ConfusionRun, plot_confusion_matrices
from rankdet.tools.frequency_colors import COLORS

CLASSES = Classes(["x", "y", "z"], ["c", "f", "r"])
COUNTS = torch.tensor([20, 500, 3])
ORDER = [1, 0, 2]
MATRIX = torch.tensor([[0.6, 0.3, 0.1], [0.15, 0.8, 0.05], [0.2, 0.4, 0.4]])


def make_run(name="base", matrix=MATRIX, num_samples=(5, 9, 2), curve=None):
    statistics = ConfusionStatistics(matrix, torch.tensor(num_samples))
    return ConfusionRun(name, statistics, curve or {}, num_iterations=100)


def plot(*runs):
    return plot_confusion_matrices(list(runs), CLASSES, COUNTS, "toy_val")


def panels(figure):
    return [axes for axes in figure.axes if axes.images]


def curve_axes(figure):
    (axes,) = (axes for axes in figure.axes if axes.get_xlabel() == "iteration")
    return axes


def legend_texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def test_classes_are_sorted_by_training_frequency():
    (axes,) = panels(plot(make_run()))
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_array_equal(shown, MATRIX.numpy()[ORDER][:, ORDER])
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["y", "x", "z"]
    assert axes.get_ylabel() == "true class"
    assert axes.get_xlabel().startswith("predicted class")


def test_strips_beside_the_matrix_mark_the_groups():
    (axes,) = panels(plot(make_run()))
    matrix, below, left = axes.images
    expected = np.array([to_rgb(COLORS[letter]) for letter in "fcr"])
    np.testing.assert_array_equal(below.get_array()[0], expected)
    np.testing.assert_array_equal(left.get_array()[:, 0], expected)
    # In data coordinates (left, right, bottom, top), y downwards; nothing is covered or cut off.
    assert matrix.get_extent() == [-0.5, 2.5, 2.5, -0.5]
    assert below.get_extent()[:2] == [-0.5, 2.5] and below.get_extent()[3] == 2.5
    assert left.get_extent()[2:] == [2.5, -0.5] and left.get_extent()[1] == -0.5
    assert axes.get_xlim() == (left.get_extent()[0], 2.5)
    assert axes.get_ylim() == (below.get_extent()[2], -0.5)


def test_runs_share_one_log_scale_that_covers_the_smallest_of_them():
    other = torch.tensor([[0.9, 0.09, 0.01], [0.002, 0.99, 0.008], [0.1, 0.2, 0.7]])
    figure = plot(make_run("base"), make_run("PCB", other))
    norms = [axes.images[0].norm for axes in panels(figure)]
    assert all(isinstance(norm, LogNorm) for norm in norms)
    assert [(norm.vmin, norm.vmax) for norm in norms] == [(pytest.approx(0.002), 1)] * 2


def test_zeros_have_the_darkest_color():
    (axes,) = panels(plot(make_run(matrix=torch.eye(3))))
    image = axes.images[0]
    assert image.get_array().min() == pytest.approx(image.norm.vmin) and image.norm.vmin > 0


def test_classes_without_samples_are_blank_and_explained():
    matrix = MATRIX.clone()
    matrix[0] = 0
    figure = plot(make_run(matrix=matrix, num_samples=(0, 9, 2)))
    shown = panels(figure)[0].images[0].get_array()
    assert np.ma.getmaskarray(shown).tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert "no proposal of the class on toy_val" in legend_texts(figure.subfigs[0].legends[0])


def test_group_legend_of_complete_statistics():
    figure = plot(make_run())
    assert legend_texts(figure.subfigs[0].legends[0]) == ["rare", "common", "frequent"]


def test_titles_have_the_bias_of_the_classes_with_samples():
    matrix = MATRIX.clone()
    matrix[0] = 0
    figure = plot(make_run("base"), make_run("PCB", matrix, (0, 9, 2)))
    # Norms of M - M^T by hand: pairs 0.15, -0.1, -0.35 twice each; the second has the last alone.
    both = (2 * (0.15**2 + 0.1**2 + 0.35**2)) ** 0.5
    expected = [f"base\nPwB {both:.3f}", f"PCB\nPwB {2**0.5 * 0.35:.3f}"]
    assert [axes.get_title() for axes in panels(figure)] == expected


def test_curve_over_training_and_the_end_of_every_run():
    figure = plot(make_run("base"), make_run("PCB", curve={0: 0.1, 20: 2.0, 40: 1.5}))
    lines = [line.get_xydata().tolist() for line in curve_axes(figure).lines]
    end = [100, pytest.approx(make_run().bias)]
    assert lines == [[], [end], [[0, 0.1], [20, 2.0], [40, 1.5]], [end]]
    texts = legend_texts(curve_axes(figure).get_legend())
    assert texts[:2] == ["base", "PCB"] and any("running mean" in text for text in texts)


def test_without_a_curve_there_are_matrices_only():
    figure = plot(make_run("base"), make_run("PCB"))
    assert not any(axes.get_xlabel() == "iteration" for axes in figure.axes)
    assert len(figure.subfigs) == 1 and len(panels(figure)) == 2


def test_class_axes_of_lvis_stay_readable():
    num_classes = 1203
    classes = Classes([f"class_{index}" for index in range(num_classes)], ["f"] * num_classes)
    statistics = ConfusionStatistics(torch.eye(num_classes), torch.ones(num_classes).long())
    run = ConfusionRun("base", statistics, {}, 100)
    (axes,) = panels(
        plot_confusion_matrices([run], classes, torch.arange(num_classes), "lvis_v1_val")
    )
    assert len(axes.get_xticks()) < 20 and len(axes.get_yticks()) < 20
