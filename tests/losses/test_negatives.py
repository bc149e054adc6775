"""Bins found by the lookup table are those of a binary search."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdet.losses._pair_sums import negatives
from rankdet.losses._pair_sums.negatives import find_bins

DTYPES = (torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def _lookup_for_few_values(monkeypatch):
    monkeypatch.setattr(negatives, "_FEWEST_VALUES", 1)


def assert_as_searched(breakpoints, values):
    expected = torch.searchsorted(breakpoints, values, out_int32=True)
    assert torch.equal(find_bins(breakpoints, values), expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_binary_search(data):
    number = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e4, 1e4, width=32))
    dtype = data.draw(st.sampled_from(DTYPES))
    breakpoints = data.draw(st.lists(number, max_size=30))
    values = data.draw(st.lists(st.one_of(number, st.sampled_from(breakpoints or [0.0]))))
    assert_as_searched(
        torch.tensor(breakpoints, dtype=dtype).sort().values, torch.tensor(values, dtype=dtype)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_values_between_and_on_breakpoints(dtype):
    generator = torch.Generator().manual_seed(0)
    breakpoints = torch.randn(2000, dtype=dtype, generator=generator).sort().values
    values = torch.cat([torch.randn(5000, dtype=dtype, generator=generator) * 2, breakpoints])
    assert_as_searched(breakpoints, values)


def test_clustered_breakpoints_fall_back_to_the_search(monkeypatch):
    monkeypatch.setattr(negatives, "_walk", None)
    breakpoints = torch.cat([torch.linspace(0, 1e-3, 100), torch.tensor([1e3])])
    assert_as_searched(breakpoints, torch.linspace(-1, 2e3, 5000))


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_far_beyond_the_breakpoints(dtype):
    """Their cells are no int32 numbers."""
    far = torch.tensor([1e7, 1e9, 1e30], dtype=dtype)
    assert_as_searched(torch.linspace(0, 1, 2000, dtype=dtype), torch.cat([far, -far]))


def test_zeros_of_both_signs_are_equal_breakpoints():
    assert_as_searched(torch.tensor([0.0, -0.0]), torch.tensor([-1.0, -0.0, 0.0, 1.0]))


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_equal_breakpoints(value):
    assert_as_searched(torch.full((50,), value), torch.tensor([value - 1, value, value + 1]))


def test_nan_and_infinity_stay_in_range():
    values = torch.tensor([float("nan"), float("inf"), -float("inf")])
    bins = find_bins(torch.arange(10.0), values)
    assert bins[2] == 0
    assert ((bins >= 0) & (bins <= 10)).all()
