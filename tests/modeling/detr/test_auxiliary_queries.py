"""Which rows of a head become queries, and what these consist of, against slow loops."""

import pytest
import torch
from torch.nn.functional import layer_norm

from rankdet.modeling.detr.auxiliary_queries import AuxiliaryPositives, AuxiliaryQueries
from rankdet.modeling.detr.positions import box_code

CHANNELS, CLASSES = 8, 3
SIZES = [(40, 80), (64, 32)]  # height, width


def make_queries(min_queries=2, max_queries=6):
    torch.manual_seed(0)
    made = AuxiliaryQueries(
        num_channels=CHANNELS,
        num_classes=CLASSES,
        min_queries=min_queries,
        max_queries=max_queries,
    )
    return made.double()


def make_rows(labels, rows_per_feature=1):
    """Rows with these labels; box and feature of row i tell i, those of image 1 are negative."""
    labels = torch.tensor(labels)
    images, rows = labels.shape
    generator = torch.Generator().manual_seed(1)
    corners = 16 * torch.rand(2, images, rows, 4, generator=generator, dtype=torch.float64)
    corners[..., 2:] += corners[..., :2] + 1
    shape = images, rows // rows_per_feature, CHANNELS
    features = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    return AuxiliaryPositives(corners[0], labels, corners[1], features)


def shares(corners, size):
    """Center, width and height of one box as shares of its image, by hand."""
    height, width = size
    x1, y1, x2, y2 = corners.tolist()
    center = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
    return torch.tensor([*center, (x2 - x1) / width, (y2 - y1) / height], dtype=torch.float64)


def chosen_rows(queries, rows, image):
    """The row that each query of an image has been made of."""
    boxes = torch.stack([shares(box, SIZES[image]) for box in rows.boxes[image]])
    distances = torch.cdist(queries.boxes[image], boxes)
    assert distances.amin(dim=1).max() < 1e-12
    return distances.argmin(dim=1).tolist()


def normed_linear(x, layers):
    linear, norm = layers
    product = torch.stack([sum(w * x) for w in linear.weight]) + linear.bias
    return layer_norm(product, product.shape, norm.weight, norm.bias)


LABELS = [[3, 0, 3, 2, -1, 1, 3, 3], [3, 3, 3, 3, 0, 3, -1, 3]]


def test_positives_then_random_negatives():
    made, rows = make_queries(), make_rows(LABELS)
    filled = set()
    for _ in range(60):
        queries, targets = made(rows, SIZES)
        assert queries.boxes.shape == (2, 3, 4)  # Image 0 has three positives.
        first, second = (chosen_rows(queries, rows, image) for image in range(2))
        assert sorted(first) == [1, 3, 5] and second[0] == 4
        filled.add(tuple(sorted(second[1:])))
        for image, found in enumerate([first, second]):
            labels = [LABELS[image][row] for row in found]
            assert targets.labels[0, image].tolist() == labels
            expected = [shares(rows.gt_boxes[image, row], SIZES[image]) for row in found]
            torch.testing.assert_close(targets.gt_boxes[0, image], torch.stack(expected))
    assert len(filled) > 10 and all(set(pair) <= {0, 1, 2, 3, 5, 7} for pair in filled)


@pytest.mark.parametrize(("limits", "number"), [((5, 6), 5), ((1, 2), 2), ((1, 9), 3)])
def test_number_of_queries(limits, number):
    _, targets = make_queries(*limits)(make_rows(LABELS), SIZES)
    assert targets.labels.shape == (1, 2, number)


def test_of_too_many_positives_each_has_its_chance():
    made, rows = make_queries(1, 2), make_rows(LABELS)
    pairs = [made(rows, SIZES)[0] for _ in range(60)]
    pairs = {tuple(sorted(chosen_rows(queries, rows, image=0))) for queries in pairs}
    assert pairs == {(1, 3), (1, 5), (3, 5)}


def test_ignored_rows_come_last_and_stay_ignored():
    _, targets = make_queries(min_queries=8, max_queries=8)(make_rows(LABELS), SIZES)
    assert targets.labels[0].tolist()[0][-1] == -1
    assert sorted(targets.labels[0, 1].tolist()) == sorted(LABELS[1])


@pytest.mark.parametrize("labels", [[[], []], [[0], [3]]], ids=["none", "one"])
def test_fewer_rows_than_queries(labels):
    made, rows = make_queries(min_queries=2), make_rows(labels)
    queries, targets = made(rows, SIZES)
    num_missing = 2 - len(labels[0])
    assert targets.labels[0].tolist() == [row + [-1] * num_missing for row in labels]
    assert (queries.boxes[:, -num_missing:] == 0.5).all()
    (queries.contents.sum() + queries.positions.sum()).backward()
    assert all(weight.grad is not None for weight in made.parameters())


def test_contents_and_positions_equal_a_slow_loop():
    made, rows = make_queries(), make_rows(LABELS)
    torch.nn.init.normal_(made.features[1].weight)
    torch.nn.init.normal_(made.boxes[1].weight)
    queries, _ = made(rows, SIZES)
    weights = torch.randn(2, *queries.contents.shape, dtype=torch.float64)
    expected = torch.zeros((), dtype=torch.float64)
    for image in range(2):
        for query, row in enumerate(chosen_rows(queries, rows, image)):
            code = box_code(shares(rows.boxes[image, row], SIZES[image]), 2 * CHANNELS)
            code = normed_linear(code, made.boxes)
            position = code[:CHANNELS] + made.position[0]
            content = code[CHANNELS:] + normed_linear(rows.features[image, row], made.features)
            for which, vector in enumerate([position, content]):
                fast = (queries.positions, queries.contents)[which][image, query]
                torch.testing.assert_close(fast, vector, rtol=1e-10, atol=1e-10)
                expected = expected + (weights[which, image, query] * vector).sum()
    actual = (weights * torch.stack([queries.positions, queries.contents])).sum()
    inputs = [rows.features, *made.parameters()]
    gradients = (torch.autograd.grad(x, inputs) for x in (actual, expected))
    for fast, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)


def test_rows_of_a_cell_share_its_feature():
    made, rows = make_queries(), make_rows(LABELS, rows_per_feature=2)
    queries, _ = made(rows, SIZES)
    chosen = set(chosen_rows(queries, rows, image=0))
    assert chosen == {1, 3, 5}
    (gradient,) = torch.autograd.grad(queries.contents[0].square().sum(), rows.features)
    assert gradient[0].abs().sum(dim=1).bool().tolist() == [True, True, True, False]


def test_boxes_beyond_the_image_end_inside_it():
    rows = make_rows([[0, 0]])
    rows.boxes.copy_(torch.tensor([[[-90.0, 2, 250, 300], [30, 30, 30, 50]]]))
    boxes = make_queries()(rows, SIZES[:1])[0].boxes
    assert 0 < boxes.min() < 1e-4 and 1 - 1e-4 < boxes.max() < 1
    assert not boxes.requires_grad


@pytest.mark.parametrize("limits", [(0, 5), (6, 5)])
def test_limits_that_make_no_sense_are_named(limits):
    with pytest.raises(ValueError, match=r"_queries is .*; give a number >= "):
        make_queries(*limits)
