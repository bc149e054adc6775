from itertools import pairwise

import numpy as np
import pytest
import torch

from rankdet.data.frequency_groups import Classes
from rankdet.evaluation.ranking_errors import ClassScores
from rankdet.tools.ranking_error_plot import plot_ranking_errors
from rankdet.tools.ranking_errors import class_and_group_errors

CLASSES = Classes(["p", "q", "x", "y", "z"], ["r", "r", "f", "f", "f"])


@pytest.fixture
def analysis():
    """Class p has no error and q no positive; the others have some errors."""
    generator = torch.Generator().manual_seed(0)
    scores = ClassScores(5)
    for label, num_positives in ((2, 3), (3, 10), (4, 1)):
        table = torch.rand(40, 5, generator=generator)
        labels = torch.full((40,), 5)
        labels[:num_positives] = label
        scores.add(table, labels, {label})
    scores.add(torch.eye(2, 5), torch.tensor([0, 5]), {0, 1})
    return {"dataset": "toy_val", **class_and_group_errors(scores.errors(), CLASSES)}


def points(axes):
    return np.asarray(axes.collections[-1].get_offsets())


def test_a_column_for_each_group_with_a_point_for_each_known_class(analysis):
    figure = plot_ranking_errors(analysis)
    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert [title.split(",")[0] for title in titles] == ["rare: 1 class", "frequent: 3 classes"]
    known = analysis["classes"][2:]
    for axes, name in (
        (figure.axes[1], "detection_error"),
        (figure.axes[3], "classification_error"),
    ):
        expected = [[record["ranking_error"], record[name]] for record in known]
        np.testing.assert_allclose(points(axes), expected)


def test_a_class_without_error_is_at_the_edge(analysis):
    axes = plot_ranking_errors(analysis).axes[2]
    assert analysis["classes"][0]["ranking_error"] == 0
    edge = (axes.get_xlim()[0], axes.get_ylim()[0])
    np.testing.assert_allclose(points(axes), [edge])
    least = min(record["ranking_error"] for record in analysis["classes"][2:])
    assert 0 < edge[0] < least


def test_the_shade_contains_the_bounds_of_each_class(analysis):
    axes = plot_ranking_errors(analysis).axes[1]
    x, y = axes.collections[0].get_paths()[0].vertices.T
    for record in analysis["classes"][2:]:
        nearest = np.isclose(np.log(x), np.log(record["ranking_error"]), atol=0.1)
        assert y[nearest].min() <= record["lower_bound"] + 0.01
        assert y[nearest].max() >= record["upper_bound"] - 0.01


def test_the_line_with_the_offset_touches_the_highest_point(analysis):
    axes = plot_ranking_errors(analysis).axes[1]
    (dotted,) = (line for line in axes.lines if line.get_linestyle() == ":")
    gaps = [
        np.interp(record["ranking_error"], *dotted.get_data()) - record["detection_error"]
        for record in analysis["classes"][2:]
    ]
    # The slope is that of the group's median alpha, so it's nearly, not exactly, the least line.
    assert -0.02 < min(gaps) < 0.02


@pytest.mark.parametrize("decades", [1, 2, 5])
def test_ticks_are_plain_numbers_that_do_not_overlap(analysis, decades):
    for number, record in enumerate(analysis["classes"][2:]):
        record["ranking_error"] = 0.5 * 10 ** (-decades * number / 2)
    figure = plot_ranking_errors(analysis)
    figure.canvas.draw()
    labels = [label for label in figure.axes[2].get_xticklabels(which="both") if label.get_text()]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert len(boxes) > 2 and not any("$" in label.get_text() for label in labels)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_no_error_at_all_is_drawn(analysis):
    analysis["classes"], analysis["groups"] = (
        analysis["classes"][:2],
        {"r": analysis["groups"]["r"]},
    )
    figure = plot_ranking_errors(analysis)
    figure.canvas.draw()
    assert len(figure.axes) == 2
