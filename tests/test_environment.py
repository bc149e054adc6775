import importlib
import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from rankdet.environment import check_environment


def _break_import(monkeypatch: pytest.MonkeyPatch, name: str, result: ModuleType | Exception):
    real_import = importlib.import_module

    def fake_import(wanted: str) -> ModuleType:
        if wanted != name:
            return real_import(wanted)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(importlib, "import_module", fake_import)


def test_accepts_this_environment():
    check_environment()


def test_importing_rankdet_loads_nothing_but_the_standard_library():
    probe = "import rankdet, rankdet.environment, sys; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("torch", "pip install -c constraints.txt torch torchvision"),
        ("torchvision", "pip install -c constraints.txt torch torchvision"),
        ("detectron2", "python -m rankdet install-detectron2"),
    ],
)
def test_names_a_missing_package_and_the_command(monkeypatch, name, remedy):
    module = "detectron2.config" if name == "detectron2" else name
    _break_import(monkeypatch, module, ModuleNotFoundError(f"No module named '{name}'", name=name))
    with pytest.raises(ImportError) as caught:
        check_environment()
    assert str(caught.value) == f"{name} is not installed: run `make install`, or `{remedy}`."


def test_quotes_the_first_line_of_a_broken_build(monkeypatch):
    cause = RuntimeError("operator torchvision::nms does not exist\nmore\nlines")
    _break_import(monkeypatch, "torchvision", cause)
    with pytest.raises(ImportError) as caught:
        check_environment()
    assert str(caught.value) == (
        "torchvision cannot be imported (RuntimeError: operator torchvision::nms does not exist): "
        "run `make install`, or `pip install -c constraints.txt torch torchvision`."
    )


def test_a_missing_dependency_of_detectron2_is_not_called_a_missing_detectron2(monkeypatch):
    cause = ModuleNotFoundError("No module named 'yacs'", name="yacs")
    _break_import(monkeypatch, "detectron2.config", cause)
    with pytest.raises(ImportError, match=r"detectron2 cannot be imported .*No module.*yacs"):
        check_environment()


def test_a_detectron2_without_lazy_config_is_too_old(monkeypatch):
    _break_import(monkeypatch, "detectron2.config", ModuleType("detectron2.config"))
    with pytest.raises(ImportError, match=r"too old, it has no LazyConfig: run `make install`"):
        check_environment()


def _hide(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    real_find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == hidden else real_find(name)
    )


def test_setuptools_without_pkg_resources(monkeypatch):
    _hide(monkeypatch, "pkg_resources")
    with pytest.raises(ImportError, match=r"setuptools dropped in version 81.*setuptools<81"):
        check_environment()


def test_a_missing_lvis(monkeypatch):
    _hide(monkeypatch, "lvis")
    with pytest.raises(ImportError) as caught:
        check_environment()
    assert str(caught.value) == (
        "lvis is not installed: run `make install`, or `pip install --no-deps lvis`."
    )


@pytest.mark.slow
def test_every_layer_over_detectron2_names_the_remedy_and_losses_need_torch_alone():
    probe = """
import importlib, sys
class Missing:
    def find_spec(name, *_):
        if name == "detectron2":
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing)
for name in ["losses.ecm", "data", "modeling.box_predictor", "engine.training", "evaluation"]:
    try:
        importlib.import_module("rankdet." + name)
    except ImportError as error:
        print(name, error)
"""
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    remedy = "run `make install`, or `python -m rankdet install-detectron2`."
    assert result.stdout.splitlines() == [
        f"{layer} detectron2 is not installed: {remedy}"
        for layer in ("data", "modeling.box_predictor", "engine.training", "evaluation")
    ], result.stderr
