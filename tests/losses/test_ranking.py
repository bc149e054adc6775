import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from losses.ranking_modules import MODULES, expected_losses, random_batch

from rankdet.losses.alrp import ALRPLoss
from rankdet.losses.ap import APLoss
from rankdet.losses.base import independent_scores
from rankdet.losses.ndcg import NDCGLoss
from rankdet.losses.rank_sort import RankSortLoss
from rankdet.losses.ranking import scale_to, score_weights, weighted_mean

NUM_CLASSES = 3
modules = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)


def assert_close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def gradients(loss, batch):
    return torch.autograd.grad(
        sum(loss(*batch).values()), [batch.logits, batch.box_losses], allow_unused=False
    )


@modules
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_slow_computation_in_value_and_gradient(make, seed):
    loss, batch = make(NUM_CLASSES).eval(), random_batch(seed=seed)
    expected = expected_losses(loss, batch)
    losses = loss(*batch)
    assert {name: x.item() for name, x in losses.items()} == pytest.approx(expected.values)
    for_logits, for_boxes = gradients(loss, batch)
    assert_close(for_logits, expected.logits)
    assert_close(for_boxes, expected.box_losses)


@modules
def test_a_positive_whose_box_misses_stays_a_positive(make):
    loss, batch = make(NUM_CLASSES).eval(), random_batch()
    batch = batch._replace(ious=torch.zeros_like(batch.ious))
    row = int(((batch.labels >= 0) & (batch.labels < NUM_CLASSES)).nonzero()[0])
    for_logits, _ = gradients(loss, batch)
    assert for_logits[row, batch.labels[row]] < 0  # it is pushed up
    assert_close(for_logits, expected_losses(loss, batch).logits)


@modules
def test_ignored_rows_count_as_if_they_were_not_there(make):
    loss, batch = make(NUM_CLASSES).eval(), random_batch()
    kept = batch.labels != -1
    assert 0 < kept.sum() < len(kept)
    rest = batch._replace(logits=batch.logits[kept], labels=batch.labels[kept])
    for name, value in loss(*rest).items():
        assert_close(loss(*batch)[name], value)
    assert (gradients(loss, batch)[0][~kept] == 0).all()


@modules
def test_order_of_rows_and_so_the_split_into_images_does_not_matter(make):
    loss, batch = make(NUM_CLASSES).eval(), random_batch()
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(1))
    is_foreground = (batch.labels >= 0) & (batch.labels < NUM_CLASSES)
    box_of_row = is_foreground.cumsum(0) - 1
    boxes = box_of_row[order][is_foreground[order]]
    moved = (batch.logits[order], batch.labels[order], batch.ious[boxes], batch.box_losses[boxes])
    for name, value in loss(*batch).items():
        assert_close(loss(*moved)[name], value)


@modules
@pytest.mark.parametrize("labels", [[], [3, 3, -1], [-1, -1]], ids=["none", "background", "-1"])
def test_without_foreground_all_is_zero_and_on_the_graph(make, labels):
    loss, batch = make(NUM_CLASSES), random_batch(labels=torch.tensor(labels, dtype=torch.int64))
    losses = loss(*batch)
    for value in losses.values():
        assert value == 0 and value.requires_grad
    for gradient in gradients(loss, batch):
        assert (gradient == 0).all()


@modules
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(make, dtype):
    loss, batch = make(NUM_CLASSES).eval(), random_batch(dtype=torch.float32)
    half = batch._replace(logits=batch.logits.detach().to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = loss(*half)
    expected = loss(*half._replace(logits=half.logits.float()))
    for name, value in losses.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[name])


@modules
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_non_finite_inputs_surface(make, bad):
    batch = random_batch()
    for field in ("logits", "ious", "box_losses"):
        if field == "ious" and bad == torch.inf:
            continue
        broken = getattr(batch, field).detach().clone()
        broken[0] = bad
        losses = make(NUM_CLASSES)(*batch._replace(**{field: broken}))
        assert not torch.isfinite(sum(losses.values())), field


@modules
def test_scores_are_sigmoids_and_the_classifier_has_no_background(make):
    loss, logits = make(NUM_CLASSES), random_batch().logits
    assert loss.num_logits == NUM_CLASSES
    assert torch.equal(loss.scores(logits), independent_scores(logits))
    assert "delta=" in repr(loss) and "algorithm=" in repr(loss)


def test_wrong_shapes_and_labels_are_named():
    loss, batch = RankSortLoss(NUM_CLASSES), random_batch()
    count = len(batch.ious)
    with pytest.raises(ValueError, match=rf"ious must have shape \({count},\), one per foreground"):
        loss(*batch._replace(ious=batch.ious[1:]))
    with pytest.raises(ValueError, match=rf"box_losses must have shape \({count},\)"):
        loss(*batch._replace(box_losses=batch.box_losses[1:]))
    with pytest.raises(ValueError, match=r"logits must have shape \(N, 4\)"):
        RankSortLoss(4)(*batch)
    with pytest.raises(ValueError, match=r"labels contains 7, outside \[0, 3\]"):
        loss(*batch._replace(labels=batch.labels.masked_fill(batch.labels == 0, 7)))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 2), st.integers(0, 1000))
def test_rank_sort_gives_boxes_and_other_tasks_the_value_of_ranking_and_sorting(scale, seed):
    loss, batch = RankSortLoss(NUM_CLASSES), random_batch(seed=seed)
    losses = loss(*batch._replace(box_losses=batch.box_losses * scale))
    value = losses["loss_rank"] + losses["loss_sort"]
    task = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    balanced = loss.balance(task, losses)
    if len(batch.ious):
        assert_close(losses["loss_box_reg"], value)
    assert_close(balanced, value)
    for_task, for_logits = torch.autograd.grad(balanced, [task, batch.logits], allow_unused=True)
    assert_close(for_task, value / scale)
    assert for_logits is None


def test_balancing_perfect_boxes_keeps_gradients_finite():
    loss, batch = RankSortLoss(NUM_CLASSES), random_batch()
    batch = batch._replace(box_losses=torch.zeros_like(batch.box_losses).requires_grad_())
    assert loss(*batch)["loss_box_reg"] == 0
    assert gradients(loss, batch)[1].sum() < 2000


def test_scale_to_stops_below_a_thousandth():
    one = torch.ones(())
    assert_close(scale_to(torch.tensor(2e-3), one), one, tolerance=1e-6)
    assert_close(scale_to(torch.tensor(5e-4), one), 0.5 * one, tolerance=1e-6)


def test_other_losses_leave_further_tasks_alone():
    for name in ("AP", "NDCG", "aLRP"):
        loss, batch = MODULES[name](NUM_CLASSES), random_batch()
        task = torch.tensor(7.0)
        assert loss.balance(task, loss(*batch)) is task


def test_constant_box_weight_of_ap():
    batch = random_batch()
    one, five = (APLoss(NUM_CLASSES, box_weight=w)(*batch) for w in (1.0, 5.0))
    assert_close(five["loss_box_reg"], 5 * one["loss_box_reg"])
    assert torch.equal(five["loss_rank"], one["loss_rank"])


def test_score_weights_and_their_mean():
    logits = torch.tensor([[0.0, -3.0], [1.0, 2.0]], requires_grad=True)
    weights = score_weights(logits.half())
    assert weights.dtype == torch.float32 and not weights.requires_grad
    assert_close(weights, torch.tensor([0.0, 2.0]).sigmoid())
    assert_close(weighted_mean(torch.tensor([4.0, 0.0]), torch.tensor([1.0, 3.0])), torch.ones(()))
    assert weighted_mean(torch.zeros(0), torch.zeros(0)) == 0


@pytest.mark.parametrize("module", [RankSortLoss, APLoss, NDCGLoss, ALRPLoss])
def test_settings_that_a_loss_does_not_have_fail_at_construction(module):
    with pytest.raises(ValueError, match="algorithm is 'bucket'; this loss has 'exact', 'pairwi"):
        module(NUM_CLASSES, algorithm="bucket")
    with pytest.raises(ValueError, match="delta is -1; give the half width"):
        module(NUM_CLASSES, delta=-1)


@pytest.mark.parametrize(
    ("module", "name"),
    [(APLoss, "box_weight"), (NDCGLoss, "box_weight"), (ALRPLoss, "initial_box_weight")],
)
@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan")])
def test_box_weights_out_of_range_are_named(module, name, weight):
    with pytest.raises(ValueError, match=f"^{name} is {weight}; give a number >= 0 and finite"):
        module(NUM_CLASSES, **{name: weight})


def test_bucketing_only_where_it_is_defined():
    for module in (NDCGLoss, ALRPLoss):
        with pytest.raises(ValueError, match="algorithm is 'bucketed'; this loss has"):
            module(NUM_CLASSES, algorithm="bucketed")
    with pytest.raises(ValueError, match="interpolate is True, but BAP is not interpolated"):
        APLoss(NUM_CLASSES, interpolate=True, algorithm="bucketed")
