"""What the ranking losses accept, refuse, and do with precision, layout and memory."""

import pytest
import torch
from losses.ranking_cases import (
    BUCKETED,
    EXACT,
    PAIRWISE,
    alrp,
    ap,
    evaluate,
    ndcg,
    over,
    random_case,
    rank_sort,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

everything = over(EXACT, PAIRWISE, BUCKETED)
functions = pytest.mark.parametrize("function", [ap, rank_sort, alrp, ndcg])


@pytest.mark.parametrize("targets", [[], [0, 0], [-1, -1, -1], [0, -1, 0, -0.5]])
@everything
def test_no_positive_gives_zeros_on_the_graph(variant, targets):
    logits = torch.linspace(-1, 1, len(targets)).requires_grad_()
    loc_errors = torch.zeros(0).requires_grad_()
    case = random_case()._replace(
        logits=logits, targets=torch.tensor(targets), loc_errors=loc_errors
    )
    for value in variant.loss(case):
        logits.grad = None
        value.backward(retain_graph=True)
        assert value.shape == () and value.item() == 0
        assert torch.equal(logits.grad, torch.zeros(len(targets)))


@pytest.mark.parametrize("num_neg", [0, 5])
@everything
def test_no_negative_in_reach_is_finite(variant, num_neg):
    case = random_case(seed=2, num_pos=6, num_neg=num_neg, num_ignored=1)
    far = torch.where(case.targets == 0, -1e4, case.logits.detach()).requires_grad_()
    first, *_ = terms = evaluate(variant, case._replace(logits=far))
    assert first.value == 0 and (first.gradient == 0).all()
    assert all(torch.isfinite(x).all() for t in terms for x in t)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("target", [0.5, 0.0, -1.0])
@everything
def test_a_logit_that_is_not_finite_gives_nan(variant, target, bad):
    case = random_case(seed=4)
    logits = case.logits.detach().clone()
    where = {0.5: case.targets > 0, 0.0: case.targets == 0, -1.0: case.targets < 0}[target]
    logits[where.nonzero()[0]] = bad
    assert all(torch.isnan(value) for value in variant.loss(case._replace(logits=logits)))


@everything
def test_a_nan_among_far_negatives_is_not_lost(variant):
    case = random_case(seed=4, num_neg=500)
    far = torch.where(case.targets == 0, -1e4, case.logits.detach())
    far[(case.targets == 0).nonzero()[7]] = torch.nan
    assert all(torch.isnan(value) for value in variant.loss(case._replace(logits=far)))


@everything
def test_without_positives_a_nan_is_not_lost_either(variant):
    case = random_case(num_pos=0)
    logits = torch.full_like(case.logits, torch.nan)
    assert all(torch.isnan(value) for value in variant.loss(case._replace(logits=logits)))


@everything
def test_a_target_that_is_nan_gives_nan(variant):
    case = random_case(seed=4)
    targets = case.targets.clone()
    targets[(targets == 0).nonzero()[0]] = torch.nan
    assert all(torch.isnan(value) for value in variant.loss(case._replace(targets=targets)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@everything
def test_half_precision_is_computed_in_float32(variant, dtype):
    case = random_case(seed=6, dtype=torch.float32)
    half = case._replace(logits=case.logits.detach().to(dtype).requires_grad_())
    wide = case._replace(logits=half.logits.detach().float().requires_grad_())
    for actual, expected in zip(evaluate(variant, half), evaluate(variant, wide), strict=True):
        assert actual.value.dtype == torch.float32 and torch.equal(actual.value, expected.value)
        assert torch.equal(actual.gradient, expected.gradient.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@everything
def test_autocast_changes_no_bit(variant, dtype):
    case = random_case(seed=6, dtype=dtype)
    expected = evaluate(variant, case)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = evaluate(variant, case)
    for x, y in zip(actual, expected, strict=True):
        assert all(torch.equal(a, b) and a.dtype == dtype for a, b in zip(x, y, strict=True))


def strided(x):
    """The same numbers, every second of a longer vector."""
    return torch.stack([x.detach(), torch.full_like(x, 7)], dim=1)[:, 0].requires_grad_()


@everything
def test_layout_and_gradient_mode_change_no_bit(variant):
    case = random_case(seed=7)
    expected = evaluate(variant, case)
    spread = case._replace(
        logits=strided(case.logits),
        targets=strided(case.targets).detach(),
        loc_errors=strided(case.loc_errors),
    )
    assert not spread.logits.is_contiguous()
    for x, y in zip(evaluate(variant, spread), expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(x, y, strict=True))
    constant = case._replace(logits=case.logits.detach(), loc_errors=case.loc_errors.detach())
    for value, terms in zip(variant.loss(constant), expected, strict=True):
        assert not value.requires_grad and torch.equal(value, terms.value)


@everything
def test_inputs_are_not_modified(variant):
    case, copy = random_case(seed=8), random_case(seed=8)
    evaluate(variant, case)
    assert all(torch.equal(x, y) for x, y in zip(case[:3], copy[:3], strict=True))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.float32])
@everything
def test_targets_may_have_another_dtype(variant, dtype):
    case = random_case(seed=9)
    targets = (case.targets.sign()).to(dtype)
    actual = variant.loss(case._replace(targets=targets))
    expected = variant.loss(case._replace(targets=targets.double()))
    assert all(torch.equal(x, y) for x, y in zip(actual, expected, strict=True))


class LargestTensor(TorchDispatchMode):
    """Refuses tensors that take the memory of more than `limit` elements."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit, self.largest = limit, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for x in tree_leaves(output):
            if isinstance(x, torch.Tensor):
                self.largest = max(self.largest, x.untyped_storage().nbytes() // x.element_size())
                assert self.largest <= self.limit, f"{func} made {tuple(x.shape)}"
        return output


@over(EXACT)
def test_exact_makes_no_matrix_of_pairs(variant):
    """P x P would be 4e8 elements, P x N 4e9."""
    case = random_case(num_pos=20_000, num_neg=200_000, dtype=torch.float32)
    with LargestTensor(limit=64 * 220_000) as memory:
        evaluate(variant, case)
    assert memory.largest >= 220_000


@over(PAIRWISE)
def test_pairwise_makes_blocks_of_pairs(variant):
    """Of up to 2 ** 20 pairs; P x N is 2.5 times as much."""
    case = random_case(num_pos=500, num_neg=5_000)
    with LargestTensor(limit=2**20 + 10_000) as memory:
        evaluate(variant, case)
    assert memory.largest >= 2**19


@functions
@pytest.mark.parametrize("name", ["Exact", "brute-force", ""])
def test_unknown_algorithms_are_named(function, name):
    with pytest.raises(ValueError, match=f"algorithm is '{name}'"):
        function(random_case(), algorithm=name)


@pytest.mark.parametrize("function", [alrp, ndcg])
def test_bucketing_is_for_ap_and_rank_sort(function):
    with pytest.raises(ValueError, match="algorithm is 'bucketed'"):
        function(random_case(), algorithm="bucketed")


@functions
@pytest.mark.parametrize("delta", [-1.0, -1e-9, torch.nan, torch.inf])
def test_bad_deltas_are_named(function, delta):
    with pytest.raises(ValueError, match="delta is"):
        function(random_case(delta=0.5)._replace(delta=delta))


@functions
@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), r"logits must .*\(2, 3, 4\)"),
        (torch.zeros(0, 3), torch.zeros(0, 3), r"logits must .*\(0, 3\)"),
        (torch.zeros(2, 3), torch.zeros(3), r"targets must .*\(3,\)"),
        (torch.zeros(()), torch.zeros(()), "logits must"),
        (torch.zeros(3).long(), torch.zeros(3), "logits must .*int64"),
        (torch.zeros(3), torch.zeros(4), r"targets must .*\(4,\)"),
        (torch.zeros(3), torch.zeros(3, 1), r"targets must .*\(3, 1\)"),
    ],
)
def test_wrong_shapes_and_types_are_named(function, logits, targets, message):
    with pytest.raises(ValueError, match=message):
        function(random_case()._replace(logits=logits, targets=targets))


@pytest.mark.parametrize("shape", [(8,), (10,), (0,), (9, 1)])
def test_loc_errors_are_one_per_positive(shape):
    with pytest.raises(ValueError, match="loc_errors"):
        alrp(random_case(num_pos=9)._replace(loc_errors=torch.zeros(shape)))
