"""The package exports what its public modules define, and imports it when it is first used."""

import inspect
from importlib import import_module

import pytest

import rankdet.evaluation

HELPERS = {"error_kinds": {"KindsOfImage", "kinds_of_image"}}
"""Public names of a module that are for the other modules only."""


@pytest.mark.parametrize("name", rankdet.evaluation.__all__)
def test_exported_name_is_that_of_its_module(name: str) -> None:
    found = getattr(rankdet.evaluation, name)
    assert found.__name__ == name
    assert found.__module__ == f"rankdet.evaluation.{rankdet.evaluation._MODULES[name]}"


@pytest.mark.parametrize("module", sorted(set(rankdet.evaluation._MODULES.values())))
def test_all_public_names_of_a_module_are_exported(module: str) -> None:
    members = vars(import_module(f"rankdet.evaluation.{module}"))
    public = {
        name
        for name, member in members.items()
        if (inspect.isclass(member) or inspect.isfunction(member))
        and member.__module__ == f"rankdet.evaluation.{module}"
        and not name.startswith("_")
    }
    exported = {name for name, home in rankdet.evaluation._MODULES.items() if home == module}
    assert exported == public - HELPERS.get(module, set())


def test_names_are_listed_once_and_none_else_exists() -> None:
    assert sorted(rankdet.evaluation._MODULES) == sorted(rankdet.evaluation.__all__)
    assert set(rankdet.evaluation.__all__) <= set(dir(rankdet.evaluation))
    with pytest.raises(AttributeError, match=r"'rankdet\.evaluation' has no attribute 'Evaluator'"):
        _ = rankdet.evaluation.Evaluator


def test_importing_the_package_imports_no_public_name() -> None:
    assert not set(rankdet.evaluation.__all__) & set(vars(rankdet.evaluation))
