"""One row of the tables of bad input: what is wrong, and the sentence that must come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Case:
    """A kind of bad input.

    Attributes:
        id: names the kind, e.g. "max_iter is negative".
        bad: what the test of the table does with it: overrides, a change of a file, arguments.
        sentence: regular expression of the error; None: it is legal, and ``meaning`` says why.
        meaning: of what looks bad and is legal.
    """

    id: str
    bad: Any
    sentence: str | None = None
    meaning: str = ""

    def __post_init__(self) -> None:
        if bool(self.sentence) == bool(self.meaning):
            raise ValueError(f"{self.id}: give a sentence or a meaning.")


def table(cases: Sequence[Case]) -> Callable[[Any], Any]:
    """Parametrise a test by the ``case`` of each row."""
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])
