import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modeling.dense.slow_mixture import slow_fit

from rankdet.modeling.dense.gaussian_mixture import fit_mixture

rows = st.lists(
    st.lists(st.floats(0, 4, width=32), min_size=1, max_size=12), min_size=1, max_size=5
)
quick = settings(max_examples=30, deadline=None)


def pad(samples):
    longest = max(map(len, samples)) + 1
    table = torch.full((len(samples), longest), math.inf)
    for row, values in zip(table, samples, strict=True):
        row[: len(values)] = torch.tensor(values)
    return table, table != math.inf


def fit(samples, **options):
    return fit_mixture(*pad(samples), **options)


@quick
@given(samples=rows, regularization=st.sampled_from([1e-6, 1e-5, 0.1]))
def test_equals_a_loop_over_samples(samples, regularization):
    mixture = fit(samples, regularization=regularization)
    for row, values in enumerate(samples):
        for actual, expected in zip(mixture, slow_fit(values, regularization), strict=True):
            assert actual[row].tolist() == pytest.approx(expected, rel=1e-7, abs=1e-9)


@quick
@given(samples=rows)
def test_equals_scikit_learn_where_it_is_installed(samples):
    mixture_module = pytest.importorskip("sklearn.mixture")
    samples = [values for values in samples if len(values) > 1]
    if not samples:
        return
    mixture = fit(samples)
    for row, values in enumerate(samples):
        model = mixture_module.GaussianMixture(
            2,
            covariance_type="diag",
            weights_init=[0.5, 0.5],
            means_init=[[min(values)], [max(values)]],
            precisions_init=[[1.0], [1.0]],
        ).fit([[x] for x in values])
        expected = model.weights_, model.means_[:, 0], model.covariances_[:, 0]
        for actual, numbers in zip(mixture, expected, strict=True):
            assert actual[row].tolist() == pytest.approx(numbers.tolist(), rel=1e-5, abs=1e-7)


@quick
@given(samples=rows)
def test_rows_do_not_depend_on_each_other(samples):
    together = fit(samples)
    for row, values in enumerate(samples):
        for actual, alone in zip(together, fit([values]), strict=True):
            torch.testing.assert_close(actual[row], alone[0], rtol=1e-9, atol=1e-12)


def test_two_clusters_are_found():
    generator = torch.Generator().manual_seed(0)
    low, high = torch.randn(2000, generator=generator), torch.randn(6000, generator=generator)
    mixture = fit([torch.cat([1 + 0.2 * low, 3 + 0.5 * high]).tolist()])
    torch.testing.assert_close(
        mixture.weights[0], torch.tensor([0.25, 0.75]).double(), atol=0.01, rtol=0
    )
    torch.testing.assert_close(
        mixture.means[0], torch.tensor([1.0, 3.0]).double(), atol=0.02, rtol=0
    )
    torch.testing.assert_close(
        mixture.variances[0], torch.tensor([0.04, 0.25]).double(), atol=0.02, rtol=0
    )


def test_equal_samples_give_equal_components():
    mixture = fit([[2.0] * 5])
    assert mixture.weights.tolist() == [[0.5, 0.5]]
    assert mixture.means.tolist() == [[pytest.approx(2), pytest.approx(2)]]
    assert mixture.variances.tolist() == [[pytest.approx(1e-6)] * 2]


def test_a_row_with_nan_or_without_samples_spoils_no_other():
    table, is_sample = pad([[0.1, 0.2, 3.0], [0.1, math.nan, 3.0]])
    table = torch.cat([table, torch.full((1, 4), math.inf)])
    is_sample = torch.cat([is_sample, torch.zeros(1, 4, dtype=torch.bool)])
    for actual, alone in zip(fit_mixture(table, is_sample), fit([[0.1, 0.2, 3.0]]), strict=True):
        torch.testing.assert_close(actual[0], alone[0])
        assert actual[1:].isnan().all()


def test_no_rows():
    assert fit_mixture(torch.zeros(0, 9), torch.zeros(0, 9, dtype=torch.bool)).means.shape == (0, 2)
