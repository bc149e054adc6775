import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead
from detectron2.structures import Boxes, Instances
from support.tiny_two_stage import make_targets

from rankdet.losses.dice import dice_losses
from rankdet.modeling.mask_head import DiceMaskHead, random_subset
from rankdet.modeling.normed_layers import NormedConv2d

SHAPE = ShapeSpec(channels=8, height=4, width=4)


def make_head(num_classes=3, **options):
    torch.manual_seed(0)
    return DiceMaskHead(SHAPE, num_classes=num_classes, conv_dims=[8, 6], **options)


def make_rois(classes_of_images=((0, 2, 1), (), (1, 1))):
    """Features, and foreground proposals of three images with a score weight of their own."""
    images = []
    for seed, classes in enumerate(classes_of_images):
        image = make_targets(list(classes), seed)
        image.proposal_boxes = Boxes(image.gt_boxes.tensor + torch.tensor([1.0, 0, 2, 1]))
        if not classes:
            image = Instances(image.image_size, proposal_boxes=image.proposal_boxes)
            image.gt_classes = torch.zeros(0, dtype=torch.int64)
        image.score_weights = torch.rand(len(classes)) + 0.1
        images.append(image)
    count = sum(map(len, classes_of_images))
    return torch.randn(count, 8, 4, 4, generator=torch.Generator().manual_seed(9)), images


def slow_loss(head, x, images, kept=None):
    """Weighted mean over RoIs, one at a time; ``kept`` are the numbers of those that count."""
    total = weights = index = 0
    for image in images:
        for n in range(len(image)):
            if kept is None or index in kept:
                logits = head.layers(x[index : index + 1])[0]
                logit = logits[int(image.gt_classes[n]) if len(logits) > 1 else 0]
                side, box = logit.shape[0], image.proposal_boxes.tensor[n : n + 1]
                mask = image.gt_masks[n : n + 1].crop_and_resize(box, side)
                loss = dice_losses(logit[None], mask)[0]
                total = total + image.score_weights[n] * loss
                weights = weights + image.score_weights[n]
            index += 1
    return total / weights


@pytest.mark.parametrize("num_classes", [3, 1], ids=["specific", "agnostic"])
def test_equals_a_loop_over_rois(num_classes):
    head, (x, images) = make_head(num_classes, loss_weight=2.0), make_rois()
    torch.testing.assert_close(head(x, images)["loss_mask"], 2 * slow_loss(head, x, images))


def numbered(counts):
    """RoIs whose features and score weights hold their number."""
    numbers = torch.arange(sum(counts)).float()
    images = [Instances((9, 9), score_weights=part) for part in numbers.split(counts)]
    return numbers.reshape(-1, 1, 1, 1), images


@pytest.mark.parametrize("seed", range(5))
def test_a_subset_keeps_weights_with_their_features(seed):
    torch.manual_seed(seed)
    x, images = random_subset(*numbered([3, 0, 4, 2]), size=5)
    assert len(x) == 5 == len(set(x.flatten().tolist()))
    assert torch.equal(x.flatten(), torch.cat([image.score_weights for image in images]))
    starts = [0, 3, 3, 7, 9]
    for image, low, high in zip(images, starts, starts[1:], strict=False):
        assert all(low <= number < high for number in image.score_weights.tolist())


def test_subsets_are_random_and_small_batches_whole():
    drawn = {tuple(random_subset(*numbered([4, 5]), size=3)[0].flatten()) for _ in range(10)}
    assert len(drawn) > 1
    x, images = numbered([4, 5])
    assert random_subset(x, images, 9) == (x, images)


def test_loss_of_a_subset_is_that_of_its_rois_and_the_others_cost_nothing():
    head, (x, images) = make_head(max_positives=3), make_rois()
    sizes = []
    head.mask_fcn1.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    torch.manual_seed(5)
    numbers = torch.arange(5).reshape(-1, 1, 1, 1)
    kept = set(random_subset(numbers, images, 3)[0].flatten().tolist())
    torch.manual_seed(5)
    loss = head(x, images)["loss_mask"]
    assert sizes == [3] and kept != {0, 1, 2}
    torch.testing.assert_close(loss, slow_loss(head, x, images, kept))


def test_without_rois_every_layer_gets_a_zero_gradient():
    head, (x, images) = make_head(), make_rois([(), ()])
    loss = head(x, images)["loss_mask"]
    loss.backward()
    assert loss == 0 and all((p.grad == 0).all() for p in head.parameters())


def test_autocast_computes_the_loss_in_float32():
    head, (x, images) = make_head(), make_rois()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head(x, images)["loss_mask"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, head(x, images)["loss_mask"], rtol=1e-2, atol=0)


def test_inference_is_detectron2s():
    head = make_head().eval()
    theirs = MaskRCNNConvUpsampleHead(SHAPE, num_classes=3, conv_dims=[8, 6]).eval()
    theirs.load_state_dict(head.state_dict())
    x = torch.randn(2, 8, 4, 4)
    ours, expected = (
        h(x, [Instances((9, 9), pred_classes=torch.tensor([2, 0]))])[0].pred_masks
        for h in (head, theirs)
    )
    assert torch.equal(ours, expected)


def test_last_layer_is_injected_and_bad_sizes_are_named():
    head = make_head(predictor=NormedConv2d.with_temperature(20.0))
    assert isinstance(head.predictor, NormedConv2d)
    with pytest.raises(ValueError, match="max_positives is 0; train at least one RoI"):
        make_head(max_positives=0)
