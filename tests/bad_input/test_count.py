"""How many kinds of bad input the tables hold."""

import importlib
from pathlib import Path

from bad_input.case import Case

FOLDER = Path(__file__).parent


def tables():
    """Every list of cases: its module and name."""
    for path in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(f"bad_input.{path.stem}")
        for name, value in vars(module).items():
            if name.endswith("CASES"):
                yield f"{path.stem}.{name}", value


def test_there_are_as_many_kinds_as_were_tried_by_hand():
    sizes = {}
    for name, cases in tables():
        assert all(isinstance(case, Case) for case in cases), name
        ids = [case.id for case in cases]
        assert len(set(ids)) == len(ids), name
        sizes[name] = len(ids)
    assert sum(sizes.values()) >= 177, sizes
