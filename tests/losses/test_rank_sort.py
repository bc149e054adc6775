import pytest
import torch
from hypothesis import given
from losses.ranking_cases import (
    EXACT,
    PAIRWISE,
    assert_same,
    cases,
    evaluate,
    quick,
    random_case,
    rank_sort,
)
from losses.ranking_reference import rank_sort_reference

from rankdet.losses.rank_sort import rank_sort_loss

algorithms = pytest.mark.parametrize("algorithm", ["exact", "pairwise"])
everything = pytest.mark.parametrize("algorithm", ["exact", "pairwise", "bucketed"])


def losses_and_gradients(logits, targets, **options):
    logits = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    losses = rank_sort_loss(logits, torch.tensor(targets, dtype=torch.float64), **options)
    return [
        (x.item(), torch.autograd.grad(x, logits, retain_graph=True)[0].tolist()) for x in losses
    ]


@everything
def test_fields_are_named(algorithm):
    case = random_case()
    losses = rank_sort_loss(case.logits, case.targets, algorithm=algorithm)
    assert losses.ranking is losses[0] and losses.sorting is losses[1] and len(losses) == 2


@everything
def test_a_positive_counts_itself_by_half_in_its_rank(algorithm):
    """Released code: rank+ includes H(0), 1/2 when smoothed and 1 when hard."""
    (ranking, gradient), _ = losses_and_gradients([0, 9], [0.5, 0], algorithm=algorithm)
    assert ranking == pytest.approx(1 / 1.5) and gradient == pytest.approx([-1 / 1.5, 1 / 1.5])
    (ranking, _), _ = losses_and_gradients([0, 9], [0.5, 0], delta=0.0, algorithm=algorithm)
    assert ranking == pytest.approx(1 / 2)


@everything
def test_sorting_by_hand(algorithm):
    """Hard step. The well localized positive (IoU 0.9) is below the poor one (0.5).

    Its current error is (0.1 + 0.5) / 2, its target 0.1; the other one is where it belongs.
    """
    _, (sorting, gradient) = losses_and_gradients(
        [0, 1, 0.5], [0.9, 0.5, 0], delta=0.0, algorithm=algorithm
    )
    assert sorting == pytest.approx(0.1) and gradient == pytest.approx([-0.1, 0.1, 0])


@everything
def test_smoothed_sorting_by_hand(algorithm):
    """delta 1, logits 0 and 1: the upper one counts fully below, the lower not at all above.

    For IoU 0.9 at logit 0: current (0.5 * 0.1 + 1 * 0.5) / 1.5, target 0.1.
    """
    error = (0.5 * 0.1 + 0.5) / 1.5 - 0.1
    _, (sorting, gradient) = losses_and_gradients(
        [0, 1], [0.9, 0.5], delta=1.0, algorithm=algorithm
    )
    assert sorting == pytest.approx(error / 2)
    assert gradient == pytest.approx([-error / 2, error / 2])


@everything
@quick
@given(case=cases())
def test_equal_ious_need_no_sorting(algorithm, case):
    """IoUs that tie count as >=, so that nothing is above its target."""
    targets = torch.where(case.targets > 0, 0.625, case.targets)
    _, sorting = rank_sort(case._replace(targets=targets), algorithm=algorithm)
    (gradient,) = torch.autograd.grad(sorting, case.logits)
    assert abs(sorting.item()) <= 1e-14 and (gradient == 0).all()


@everything
@quick
@given(case=cases())
def test_sorting_does_not_see_negatives(algorithm, case):
    is_pos = case.targets > 0
    logits = case.logits.detach()[is_pos].requires_grad_()
    alone = case._replace(logits=logits, targets=case.targets[is_pos])
    (_, sorting), (_, expected) = (rank_sort(x, algorithm=algorithm) for x in (case, alone))
    torch.testing.assert_close(sorting, expected, rtol=1e-12, atol=1e-15)
    (gradient,) = torch.autograd.grad(sorting, case.logits)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    assert (gradient[~is_pos] == 0).all()
    torch.testing.assert_close(gradient[is_pos], expected_gradient, rtol=1e-10, atol=1e-13)


@everything
def test_the_smallest_iou_is_still_a_positive(algorithm):
    """In float32 too; a target of exactly 0 would be a negative (facts d.1)."""
    logits = torch.tensor([0.0, 1.0, 0.2], requires_grad=True)
    ranking, sorting = rank_sort_loss(
        logits, torch.tensor([0.5, 1e-12, 0.0]), delta=0.0, algorithm=algorithm
    )
    assert ranking.item() == pytest.approx((1 / 3) / 2)
    assert sorting.item() == pytest.approx((1.5 / 2 - 0.5) / 2)
    (ranking + sorting).backward()
    assert logits.grad[0] < 0 < logits.grad[1]


@everything
def test_close_ious_are_told_apart(algorithm):
    """Half-precision logits must not round the targets: 0.7501 is better than 0.75."""
    logits = torch.tensor([0.0, 3.0], dtype=torch.bfloat16, requires_grad=True)
    _, sorting = rank_sort_loss(logits, torch.tensor([0.7501, 0.75]), algorithm=algorithm)
    sorting.backward()
    assert logits.grad[0] < 0 < logits.grad[1]


@everything
def test_almost_nothing_to_sort_is_left_alone(algorithm):
    """D = H of the only lower IoU: its gradient stops at 1e-10, as released; the value goes on."""
    for share, moves in ((5e-11, False), (5e-10, True)):
        _, (sorting, gradient) = losses_and_gradients(
            [0, -1 + 2 * share], [0.9, 0.5], delta=1.0, algorithm=algorithm
        )
        error = ((0.5 * 0.1 + share * 0.5) / (0.5 + share) - 0.1) / 2
        assert sorting == pytest.approx(error, rel=1e-5)
        assert gradient == pytest.approx([-error * moves, error * moves], rel=1e-5, abs=0)


@algorithms
def test_defaults_are_exact_with_half_a_logit(algorithm):
    case = random_case(delta=0.5)
    default = rank_sort_loss(case.logits, case.targets)
    exact = rank_sort(case, algorithm="exact")
    assert all(torch.equal(x, y) for x, y in zip(default, exact, strict=True))
    for value, terms in zip(
        rank_sort(case, algorithm=algorithm), rank_sort_reference(case), strict=True
    ):
        torch.testing.assert_close(value.detach(), terms.value, rtol=1e-10, atol=0)


@pytest.mark.parametrize("kind", ["apart", "overlap"])
def test_thousands_of_positives_lose_no_digits(kind):
    """Isolated positives have nothing to sort: round-off must not look like something."""
    case = random_case(seed=4, num_pos=5_000, num_neg=10, kind=kind)
    exact, pairwise = (
        evaluate(EXACT["rank-sort-exact"], case),
        evaluate(PAIRWISE["rank-sort-pairwise"], case),
    )
    assert_same(exact, pairwise, case)


@pytest.mark.parametrize("gap", [0.6, 2.0])
def test_an_upside_down_order_of_many_has_a_closed_form(gap):
    """Positives farther apart than delta, the best IoU last: all above are worse, so D = i - 1."""
    place = torch.arange(1, 50_001).double()
    ious, logits = place / len(place), (-gap * place).requires_grad_()
    _, sorting = rank_sort_loss(logits, ious, delta=0.5)
    (gradient,) = torch.autograd.grad(sorting, logits)
    cost = 1 - ious
    errors = ((cost.cumsum(0) - cost / 2) / (place - 0.5) - cost) / len(place)
    shares = errors / (place - 1).clamp(min=1)
    expected = shares.flip(0).cumsum(0).flip(0) - shares - torch.where(place > 1, errors, 0.0)
    assert sorting.item() == pytest.approx(errors.sum().item(), rel=1e-10)
    tolerance = 1e-10 * float(expected.abs().max())
    torch.testing.assert_close(gradient, expected, rtol=0, atol=tolerance)


def test_a_million_equal_logits_have_a_closed_form():
    """All H are 1/2; IoUs 1/P, 2/P ... 1, so that 1 - IoU is a mean of ranks."""
    num_pos, num_neg = 1_000, 999_000
    logits = torch.full((num_pos + num_neg,), -4.6, requires_grad=True)
    targets = torch.zeros(num_pos + num_neg)
    targets[::1000] = torch.arange(1, num_pos + 1) / num_pos
    ranking, sorting = rank_sort_loss(logits, targets)

    error = num_neg / (num_pos + num_neg)
    assert ranking.item() == pytest.approx(error, rel=1e-6)
    (gradient,) = torch.autograd.grad(ranking, logits, retain_graph=True)
    expected = torch.where(targets > 0, -error / num_pos, error / num_neg)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=0)

    # The n-th worst IoU is n / P; P - n others are better and n - 1 are worse.
    n = torch.arange(1, num_pos + 1).double()
    errors = (num_pos - 1) / (2 * num_pos) - (num_pos - n) / (2 * num_pos)
    paid = (errors / (n - 1).clamp(min=1)).flip(0).cumsum(0).flip(0)
    paid = torch.cat([paid[1:], paid.new_zeros(1)])
    assert sorting.item() == pytest.approx(errors.mean().item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(sorting, logits)
    torch.testing.assert_close(
        gradient[::1000].double(), (paid - errors) / num_pos, rtol=1e-5, atol=1e-9
    )
    assert (gradient[targets == 0] == 0).all()
