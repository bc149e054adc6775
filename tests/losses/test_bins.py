"""Bins found by the lookup table are those of a binary search."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdet.losses._pair_sums import bins
from rankdet.losses._pair_sums.bins import find_bins
from rankdet.losses._pair_sums.rows import Rows

DTYPES = (torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def _lookup_for_few_values(monkeypatch):
    monkeypatch.setattr(bins, "_FEWEST_VALUES", 1)


@pytest.fixture(params=["few cells", "many cells"], autouse=True)
def _cells(monkeypatch, request):
    if request.param == "few cells":
        monkeypatch.setattr(bins, "_FEWEST_CELLS", 1)


def found(breakpoints, values):
    """The bins of one row."""
    ends = torch.cat([breakpoints, breakpoints.new_full((1,), torch.inf)])
    return find_bins(ends[None], values, Rows(1, len(values)))


def assert_as_searched(breakpoints, values):
    expected = torch.searchsorted(breakpoints, values, out_int32=True)
    assert torch.equal(found(breakpoints, values), expected)


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
    monkeypatch.setattr(bins._Grid, "find_bins", None)
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


@pytest.mark.parametrize("most_per_cell", [0, 1000], ids=["search", "grid"])
@pytest.mark.parametrize("counts", [(7, 7, 7), (20, 0, 3)])
def test_rows_are_searched_one_by_one(monkeypatch, most_per_cell, counts):
    """Breakpoints of another scale in each row, NaN in one, fewer in another."""
    monkeypatch.setattr(bins, "_MAX_PER_CELL", most_per_cell)
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([1.0, 1e6, 1e-6])
    ends = (torch.randn(3, 9, generator=generator) * scales[:, None]).sort().values
    ends[0, 5:], ends[1, 8], ends[2, 8] = torch.inf, torch.inf, torch.inf
    rows = [torch.randn(n, generator=generator) * s for n, s in zip(counts, scales, strict=True)]
    if counts[1]:
        rows[1][3] = torch.nan
    of_values = Rows(3, sum(counts), torch.tensor(counts))
    num_finite = torch.tensor([5, 8, 8])
    numbers = of_values.split(find_bins(ends, torch.cat(rows), of_values, num_finite))
    for row, (row_ends, values, actual) in enumerate(zip(ends, rows, numbers, strict=True)):
        is_number = ~values.isnan()
        expected = torch.searchsorted(row_ends, values[is_number], out_int32=True)
        assert torch.equal(actual[is_number] - 9 * row, expected)
        assert ((actual >= 9 * row) & (actual < 9 * row + 9)).all()


def test_nan_and_infinity_stay_in_range():
    values = torch.tensor([float("nan"), float("inf"), -float("inf")])
    numbers = found(torch.arange(10.0), values)
    assert numbers[2] == 0
    assert ((numbers >= 0) & (numbers <= 10)).all()
