"""What every score-based loss of dense detectors must do."""

import pytest
import torch
from losses.dense_ranks import evaluate
from losses.dense_reference import DENSE_LOSSES, NUM_CLASSES, expected_losses
from losses.ranking_modules import random_batch
from support.two_ranks import run_two_ranks

from rankdet.losses import _focal_base

losses = pytest.mark.parametrize("make", DENSE_LOSSES.values(), ids=DENSE_LOSSES)


def make_batch(num_rows=40, **settings):
    """Logits of every size, rows of every kind, and one box that misses its object."""
    batch = random_batch(num_rows, NUM_CLASSES, **settings)
    logits = (3 * batch.logits.detach()).requires_grad_()
    ious = torch.where(torch.arange(len(batch.ious)) == 1, 0.0, batch.ious)
    return batch._replace(logits=logits, ious=ious)


def gradients(values, batch):
    return torch.autograd.grad(sum(values.values()), [batch.logits, batch.box_losses])


def assert_close(actual, expected, tolerance=1e-10):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@losses
@pytest.mark.parametrize("num_rows", [1, 2, 40])
def test_equals_the_papers_entry_by_entry_in_value_and_gradient(make, num_rows):
    loss, batch = make(), make_batch(num_rows)
    values, expected = loss(*batch), expected_losses(loss, batch)
    assert_close(values, expected)
    assert_close(gradients(values, batch), gradients(expected, batch))


@losses
def test_gradcheck(make):
    batch = make_batch(8)

    def evaluate(logits, box_losses):
        return tuple(make()(logits, batch.labels, batch.ious, box_losses).values())

    assert torch.autograd.gradcheck(evaluate, (batch.logits, batch.box_losses))


@losses
def test_blocks_do_not_matter(make, monkeypatch):
    loss, batch = make(), make_batch()
    whole = loss(*batch)
    expected = gradients(whole, batch)
    for size in (1, 7 * NUM_CLASSES):
        monkeypatch.setattr(_focal_base, "_CACHE_BLOCK", size)
        values = loss(*batch)
        assert_close(values, whole, 1e-14)
        # Vector and scalar instructions, which do the ends of blocks, round apart.
        assert_close(gradients(values, batch), expected, 1e-14)


@losses
def test_each_value_has_its_own_gradient(make):
    """Scaled apart, as weights in a config do, and summed in one backward pass."""
    loss, batch = make(), make_batch()
    values, expected = loss(*batch), expected_losses(loss, batch)
    for terms in (values, expected):
        terms["loss_cls"] = 3 * terms["loss_cls"]
        terms["loss_box_reg"] = 5 * terms["loss_box_reg"]
    assert_close(gradients(values, batch), gradients(expected, batch))


@losses
def test_ignored_rows_count_as_if_they_were_not_there(make):
    loss, batch = make(), make_batch()
    kept = batch.labels != -1
    assert 0 < kept.sum() < len(kept)
    rest = batch._replace(logits=batch.logits[kept], labels=batch.labels[kept])
    values = loss(*batch)
    assert_close(values, loss(*rest))
    assert (gradients(values, batch)[0][~kept] == 0).all()


@losses
def test_without_foreground_negatives_still_count(make):
    loss, batch = make(), make_batch(labels=torch.tensor([NUM_CLASSES, -1, NUM_CLASSES]))
    values, expected = loss(*batch), expected_losses(loss, batch)
    assert_close(values, expected)
    assert values["loss_cls"] > 0 and values["loss_box_reg"] == 0
    assert_close(gradients(values, batch), gradients(expected, batch))


@losses
@pytest.mark.parametrize("labels", [[], [-1, -1]], ids=["none", "-1"])
def test_nothing_to_learn_from_gives_zeros_on_the_graph(make, labels):
    batch = make_batch(labels=torch.tensor(labels, dtype=torch.int64))
    values = make()(*batch)
    assert all(value == 0 for value in values.values())
    assert all((gradient == 0).all() for gradient in gradients(values, batch))


@losses
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(make, dtype):
    loss, batch = make(), make_batch(dtype=torch.float32)
    half = batch._replace(logits=batch.logits.detach().to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = loss(*half)
    expected = loss(*half._replace(logits=half.logits.double(), ious=half.ious.double()))
    for name, value in values.items():
        assert value.dtype == torch.float32
        assert_close(value.double(), expected[name].double(), 1e-5)


@losses
@pytest.mark.parametrize("sign", [1, -1])
def test_huge_logits_stay_finite_and_exact_in_float32(make, sign):
    loss, batch = make(), make_batch()
    huge = (sign * 1e4 * batch.logits.detach().sign()).requires_grad_()
    value = loss(huge.float(), *batch[1:])["loss_cls"]
    assert_close(value.double(), loss(huge, *batch[1:])["loss_cls"], 1e-6)
    value.backward()
    assert torch.isfinite(huge.grad).all()


@losses
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_surface(make, bad):
    loss, batch = make(), make_batch()
    for label in (-1, 0, NUM_CLASSES):
        row = int((batch.labels == label).nonzero()[0])
        broken = batch.logits.detach().clone()
        broken[row, 0] = bad
        assert not torch.isfinite(loss(broken, *batch[1:])["loss_cls"]), label


@losses
def test_inputs_are_not_modified_and_no_graph_is_needed(make):
    loss, batch = make(), make_batch()
    before = [x.detach().clone() for x in batch]
    values = loss(*batch)
    sum(values.values()).backward()
    for x, y in zip(batch, before, strict=True):
        assert torch.equal(x, y)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            for name, value in loss(*before).items():
                assert torch.equal(value, values[name])


@losses
def test_settings_are_printed(make):
    shown = repr(make())
    for name in ("num_classes=5", "gamma=", "box_weight="):
        assert name in shown


@pytest.mark.parametrize(
    ("name", "field", "message"),
    [
        ("logits", torch.zeros(40, 4), r"logits must have shape \(N, 5\)"),
        ("labels", torch.full((40,), 6), r"labels contains 6, outside \[0, 5\]"),
        ("ious", torch.zeros(2), "ious must have shape"),
        ("box_losses", torch.zeros(2), "box_losses must have shape"),
    ],
)
def test_bad_input_is_named(name, field, message):
    batch = make_batch()._replace(**{name: field})
    with pytest.raises(ValueError, match=message):
        DENSE_LOSSES["focal"]()(*batch)


@pytest.mark.slow
def test_two_ranks_are_one_process_on_the_images_of_both(tmp_path):
    """Means over ranks, as of gradients in training; a rank without foreground or rows, too."""
    ranks = run_two_ranks(evaluate, tmp_path)
    for name, expected in evaluate(0, 1).items():
        means = [
            [torch.stack(pair).mean(dim=0) for pair in zip(*iterations, strict=True)]
            for iterations in zip(ranks[0][name], ranks[1][name], strict=True)
        ]
        assert_close(means, expected)


@pytest.mark.gpu
@losses
def test_cuda_equals_cpu(make):
    loss, batch = make(), make_batch(dtype=torch.float32)
    expected = gradients(loss(*batch), batch)
    moved = type(batch)(*(x.detach().cuda() for x in batch))
    moved = moved._replace(
        logits=moved.logits.requires_grad_(), box_losses=moved.box_losses.requires_grad_()
    )
    actual = gradients(loss.cuda()(*moved), moved)
    assert_close([x.cpu() for x in actual], list(expected), 1e-5)
