import pytest
import torch
from losses.ranking_modules import random_batch

from rankdet.losses.alrp import ALRPLoss

BACKGROUND = torch.full((4,), 3)
STATE = {"box_weight", "term_sums", "num_iterations", "last_terms"}


def make_batches(count):
    return [random_batch(seed=seed) for seed in range(count)]


def run(loss, batches):
    """Train on batches; gives the box weight that each of them was computed with."""
    weights = []
    for batch in batches:
        if loss.training:
            loss.observe(batch.logits, batch.labels)
        weights.append(loss.box_weight.item())
        loss(*batch)
    return weights


def plain_terms(batch):
    """Classification and unbalanced localization of a batch."""
    losses = ALRPLoss(3, initial_box_weight=1.0).eval()(*batch)
    return losses["loss_cls"].item(), losses["loss_box_reg"].item()


def test_weight_over_several_periods_equals_the_ratio_of_the_means_of_the_last():
    period, batches = 3, make_batches(10)
    expected = []
    for iteration in range(len(batches)):
        start = iteration // period * period - period
        terms = [plain_terms(batch) for batch in batches[max(start, 0) : start + period]]
        mean_cls, mean_loc = (
            (sum(x) / period for x in zip(*terms, strict=True)) if terms else (0, 1)
        )
        expected.append((mean_loc + mean_cls) / mean_loc if terms else 50.0)
    loss = ALRPLoss(3, iterations_per_epoch=period)
    assert run(loss, batches) == pytest.approx(expected)
    assert len(set(expected)) == 4


def test_value_carries_the_weight_and_statistics_do_not():
    (batch,) = make_batches(1)
    loss, (_, localization) = ALRPLoss(3, initial_box_weight=20.0), plain_terms(batch)
    assert loss(*batch)["loss_box_reg"].item() == pytest.approx(20 * localization)
    statistics = loss.statistics()
    assert statistics["unbalanced_loss_box_reg"].item() == pytest.approx(localization)
    assert statistics["box_weight"] == 20


def test_weight_multiplies_the_gradient_of_boxes_only():
    (batch,) = make_batches(1)
    inputs = [batch.logits, batch.box_losses]
    light, heavy = (
        torch.autograd.grad(ALRPLoss(3, initial_box_weight=weight)(*batch)["loss_box_reg"], inputs)
        for weight in (1.0, 30.0)
    )
    torch.testing.assert_close(heavy[0], light[0])
    torch.testing.assert_close(heavy[1], 30 * light[1])


def test_checkpoint_holds_the_state_and_a_resumed_run_goes_on():
    batches = make_batches(9)
    whole = ALRPLoss(3, iterations_per_epoch=4)
    expected = run(whole, batches)
    first, second = ALRPLoss(3, iterations_per_epoch=4), ALRPLoss(3, iterations_per_epoch=4)
    weights = run(first, batches[:6])
    assert set(first.state_dict()) == STATE
    second.load_state_dict(first.state_dict())
    assert weights + run(second, batches[6:]) == expected
    for name, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_evaluation_does_not_count():
    loss = ALRPLoss(3, iterations_per_epoch=1).eval()
    run(loss, make_batches(2))
    assert loss.box_weight == 50 and loss.num_iterations == 0


def test_without_a_known_period_the_first_weight_stays():
    loss = ALRPLoss(3)
    run(loss, make_batches(5))
    assert loss.box_weight == 50 and loss.num_iterations == 5
    loss.set_epoch_length(6)
    assert run(loss, make_batches(2))[0] == 50
    assert loss.box_weight < 50 and loss.num_iterations == 1


def test_a_period_without_positives_keeps_the_weight():
    loss = ALRPLoss(3, iterations_per_epoch=2)
    batch, background = random_batch(), random_batch(labels=BACKGROUND)
    weights = run(loss, [background, background, batch, background, batch])
    classification, localization = plain_terms(batch)
    assert weights == pytest.approx([50] * 4 + [1 + classification / localization])


def test_the_localization_error_is_relative_to_the_threshold_of_foreground():
    (batch,) = make_batches(1)
    low, high = (ALRPLoss(3, iou_threshold=x)(*batch)["loss_box_reg"].item() for x in (0.5, 0.75))
    assert high == pytest.approx(2 * low)


def test_a_float32_weight_does_not_widen_the_losses():
    losses = ALRPLoss(3, iterations_per_epoch=1)(*random_batch(dtype=torch.float32))
    assert {x.dtype for x in losses.values()} == {torch.float32}


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"iou_threshold is 1.0; give the IoU in \[0, 1\)"):
        ALRPLoss(3, iou_threshold=1.0)
    with pytest.raises(ValueError, match="iterations_per_epoch is 0; give a number >= 1"):
        ALRPLoss(3, iterations_per_epoch=0)
