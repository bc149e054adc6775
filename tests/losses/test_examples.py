"""The examples in the docstrings of the losses."""

import doctest
import inspect

import pytest
import torch

import rankdet.losses

EXPORTED = {name: getattr(rankdet.losses, name) for name in rankdet.losses.__all__}
LOSS_FUNCTIONS = {
    name: value
    for name, value in EXPORTED.items()
    if inspect.isfunction(value) and name.endswith(("_loss", "_losses", "_cross_entropy"))
}


@pytest.mark.parametrize("function", LOSS_FUNCTIONS.values(), ids=LOSS_FUNCTIONS)
def test_the_example_of_a_loss_shows_value_and_gradient(function):
    module = inspect.getmodule(function)
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(
        function, module=module, globs={"torch": torch, **vars(module)}, name=function.__name__
    )
    assert "backward()" in example.docstring and ".grad" in example.docstring
    result = doctest.DocTestRunner().run(example)
    assert result.attempted >= 4 and result.failed == 0


def test_every_public_name_of_the_exporting_modules_is_exported():
    modules = {inspect.getmodule(x) for x in EXPORTED.values() if hasattr(x, "__module__")}
    losses = {
        name
        for module in modules
        for name, value in vars(module).items()
        if name.endswith(("Loss", "_loss"))
        and not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    }
    assert losses <= set(EXPORTED)
