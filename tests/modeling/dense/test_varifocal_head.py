import pytest
import torch
from detectron2.layers import ShapeSpec

from rankdet.modeling.dense import varifocal_head
from rankdet.modeling.dense.star_conv import star_points
from rankdet.modeling.dense.varifocal_head import VarifocalHead

CHANNELS, STRIDES = 8, (8, 32)
SHAPES = [ShapeSpec(channels=CHANNELS, stride=stride) for stride in STRIDES]
norms = pytest.mark.parametrize("norm", ["", "LN", "BN"])


def make_head(num_classes=3, norm="", first_distance=2.0, channels=CHANNELS, **options):
    torch.manual_seed(0)
    head = VarifocalHead(
        input_shape=SHAPES,
        num_classes=num_classes,
        conv_dims=[channels],
        norm=norm,
        first_distance=first_distance,
        **options,
    )
    for weight in head.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return head


def make_features(num_images=2, same=False):
    generator = torch.Generator().manual_seed(1)
    sizes = [(6, 5), (6, 5) if same else (2, 3)]
    features = [torch.randn(num_images, CHANNELS, *size, generator=generator) for size in sizes]
    return [features[0]] * 2 if same else features


def test_branches_are_normalized_as_the_convolution_behind_them():
    head = make_head(norm="GN", channels=32)
    for layers in (head.cls_subnet, head.bbox_subnet, head.bbox_conv):
        assert sum(isinstance(layer, torch.nn.GroupNorm) for layer in layers.modules()) == 1


@norms
@pytest.mark.parametrize("num_images", [0, 2])
def test_one_output_per_location(norm, num_images):
    head, features = make_head(1203, norm).eval(), make_features(num_images)
    for channels, levels in zip((1203, 4, 4), head(features), strict=True):
        assert [x.shape for x in levels] == [
            (num_images, channels, *feature.shape[2:]) for feature in features
        ]


def test_distances_are_in_strides():
    """Levels that look the same differ by their strides alone."""
    head = make_head()
    for scales in (head.scales, head.factor_scales):
        torch.nn.init.ones_(scales)
    logits, refined, first = head(make_features(same=True))
    assert torch.equal(*logits)
    for fine, coarse in (refined, first):
        torch.testing.assert_close(coarse / STRIDES[1], fine / STRIDES[0])


def test_first_distances_at_the_start():
    head = make_head(first_distance=2.5)
    for layer in (head.bbox_pred, head.bbox_factor):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    _, refined, first = head(make_features())
    for boxes in (refined, first):
        for distances, stride in zip(boxes, STRIDES, strict=True):
            torch.testing.assert_close(distances, torch.full_like(distances, 2.5 * stride))


def test_classes_and_factors_are_read_at_the_first_box():
    head, features = make_head(), make_features()
    scales = zip(head.scales, head.factor_scales, strict=True)
    for feature, stride, (scale, factor_scale), logits, refined, first in zip(
        features, STRIDES, scales, *head(features), strict=True
    ):
        first_feature = head.bbox_conv(head.bbox_subnet(feature))
        distances = 2.0 * stride * (scale * head.bbox_pred(first_feature)).exp()
        torch.testing.assert_close(first, distances)
        points = star_points(first / stride)
        cls_star = head.cls_star(head.cls_subnet(feature), points).relu()
        torch.testing.assert_close(logits, head.cls_score(cls_star))
        bbox_star = head.bbox_star(head.bbox_subnet(feature), points).relu()
        factors = (factor_scale * head.bbox_factor(bbox_star)).exp()
        torch.testing.assert_close(refined, first * factors)


def test_first_boxes_learn_a_tenth_from_the_points(monkeypatch):
    head, features = make_head(first_distance=1.0), make_features()

    def gradient(output):
        return torch.autograd.grad(
            sum(x.sum() for x in head(features)[output]), head.bbox_pred.bias
        )

    damped = gradient(0), gradient(1)
    monkeypatch.setattr(varifocal_head, "_POINT_GRADIENT", 1.0)
    for (tenth,), (whole,) in zip(damped, (gradient(0), gradient(1)), strict=True):
        assert whole.abs().min() > 0
        torch.testing.assert_close(10 * tenth, whole, rtol=1e-4, atol=1e-5)


def test_first_boxes_learn_nothing_from_refined_ones_directly():
    """Without the star convolution, which alone knows the points, the refined boxes are fixed."""
    head = make_head()
    torch.nn.init.zeros_(head.bbox_star.weight)
    _, refined, _ = head(make_features())
    total = sum(x.sum() for x in refined)
    total.backward()
    assert (head.bbox_pred.bias.grad == 0).all()
    slopes = [scale * x.sum() for scale, x in zip(head.factor_scales, refined, strict=True)]
    torch.testing.assert_close(head.bbox_factor.bias.grad.sum(), sum(slopes).detach())


def test_wild_predictions_stay_finite():
    head = make_head()
    torch.nn.init.constant_(head.bbox_pred.bias, 1e4)
    torch.nn.init.constant_(head.bbox_factor.bias, 1e4)
    outputs = head(make_features())
    assert all(x.isfinite().all() for levels in outputs for x in levels)
    sum(x.sum() for levels in outputs for x in levels).backward()
    assert all(weight.grad.isfinite().all() for weight in head.parameters())


def test_autocast_keeps_boxes_wide():
    head, features = make_head(), make_features()
    expected = head(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, refined, first = head(features)
    for boxes, exact in ((refined, expected[1]), (first, expected[2])):
        for level, exact_level in zip(boxes, exact, strict=True):
            assert level.dtype == torch.float32
            torch.testing.assert_close(level, exact_level, rtol=0.1, atol=0)


def test_a_level_without_stride_is_refused():
    with pytest.raises(ValueError, match="stride"):
        VarifocalHead(input_shape=[ShapeSpec(channels=8)], num_classes=3, conv_dims=[8])


@pytest.mark.parametrize("distance", [0.0, -1.0, float("nan")])
def test_first_distance_must_be_positive(distance):
    with pytest.raises(ValueError, match=f"first_distance={distance}"):
        make_head(first_distance=distance)


@pytest.mark.parametrize(("conv_bias", "num"), [(False, 0), (True, 3)])
def test_biases_in_front_of_a_norm(conv_bias, num):
    head = make_head(norm="GN", channels=32, conv_bias=conv_bias)
    layers = head.cls_subnet[0], head.bbox_subnet[0], head.bbox_conv
    assert sum(layer.bias is not None for layer in layers) == num


def test_starts_as_released():
    """Star convolutions uniform and the last of boxes normal as Kaiming has it, scales 1."""
    torch.manual_seed(0)
    shapes = [ShapeSpec(channels=32, stride=8)]
    head = VarifocalHead(input_shape=shapes, num_classes=3, conv_dims=[32])
    for name, weight in head.named_parameters():
        if "star" in name:
            bound = (6 / (9 * 32)) ** 0.5
            assert 0.99 * bound < weight.abs().max() <= bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
        elif weight.dim() == 4:
            deviation = (2 / (9 * 32)) ** 0.5 if name == "bbox_conv.weight" else 0.01
            assert weight.std().item() == pytest.approx(deviation, rel=0.1), name
        elif name != "cls_score.bias":
            assert (weight == (0 if name.endswith("bias") else 1)).all(), name
