"""The public names of rankdet.engine, which are imported on use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rankdet import engine


def test_the_three_lists_of_names_are_one():
    tree = ast.parse(Path(engine.__file__).read_text())
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = {
        alias.name: node.module.removeprefix("rankdet.engine.")
        for node in typed.body
        for alias in node.names
    }
    assert imports == engine._MODULE_OF
    assert sorted(imports) == sorted(engine.__all__)


@pytest.mark.parametrize("name", engine.__all__)
def test_exported_name_is_that_of_its_module(name):
    value = getattr(engine, name)
    assert value.__module__ == f"rankdet.engine.{engine._MODULE_OF[name]}"
    assert value.__name__ == name and name in dir(engine)


def test_names_are_imported_on_use():
    probe = (
        "import rankdet.engine, sys; before = set(sys.modules); rankdet.engine.load_config;"
        "print('rankdet.engine.config' in before, 'rankdet.engine.config' in sys.modules,"
        "'rankdet.engine.training' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "False"], done.stderr


def test_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match=r"'rankdet\.engine' has no attribute 'trian'"):
        engine.trian  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Trainer'"):
        from rankdet.engine import Trainer  # noqa: F401
