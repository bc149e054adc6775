"""AP of one class equals its definition; fixes are tested in `test_error_analysis.py`."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdet.evaluation.fixed_errors import average_precision


# With a prime number of objects no recall below 1 is a multiple of 1 %, where rounding decides.
@given(st.lists(st.booleans(), max_size=31), st.sampled_from([31, 37, 101]))
def test_ap_is_the_mean_of_the_best_precision_at_each_recall(
    is_right: list[bool], num_objects: int
) -> None:
    reached = [
        (Fraction(sum(is_right[:end]), num_objects), sum(is_right[:end]) / end)
        for end in range(1, len(is_right) + 1)
    ]
    best = [
        max((precision for recall, precision in reached if recall * 100 >= percent), default=0)
        for percent in range(101)
    ]
    ap = average_precision(np.array(is_right, dtype=bool), num_objects)
    assert ap == pytest.approx(100 * sum(best) / 101)


@pytest.mark.parametrize("is_right", [[], [False, False]])
def test_ap_is_100_where_nothing_is_to_be_found(is_right: list[bool]) -> None:
    assert average_precision(np.array(is_right, dtype=bool), 0) == 100
