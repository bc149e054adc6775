import pytest

from rankdet.tools.report.markup import UNKNOWN, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0"),
        (-0.04, "0.0"),
        (-12.345, "&minus;12.3"),
        (None, UNKNOWN),
        (float("nan"), UNKNOWN),
    ],
)
def test_numbers_have_a_minus_sign_but_zero_has_none(value, text):
    assert number(value) == text
