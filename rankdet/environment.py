"""Says in one sentence what is wrong with torch, Detectron2 and their like, and what to run."""

import importlib
import importlib.util
from types import ModuleType

_TORCH_REMEDY = "run `make install`, or `pip install -c constraints.txt torch torchvision`"
_DETECTRON2_REMEDY = "run `make install`, or `python -m rankdet install-detectron2`"
_LVIS_REMEDY = "run `make install`, or `pip install --no-deps lvis`"
_SETUPTOOLS_REMEDY = "run `make install`, or `pip install 'setuptools<81'`"


def check_environment() -> None:
    """Check that torch, torchvision and Detectron2 can be imported and fit together; lvis is there.

    Raises:
        ImportError: one of them is missing, broken or too old; the message is one sentence that
            names it, the cause and the command to run.
    """
    _import_or_explain("torch", _TORCH_REMEDY)
    _import_or_explain("torchvision", _TORCH_REMEDY)
    config = _import_or_explain("detectron2.config", _DETECTRON2_REMEDY)
    if not hasattr(config, "LazyConfig"):
        raise ImportError(f"Detectron2 is too old, it has no LazyConfig: {_DETECTRON2_REMEDY}.")
    if importlib.util.find_spec("pkg_resources") is None:
        raise ImportError(
            "Detectron2's model zoo needs pkg_resources, which setuptools dropped in version 81: "
            f"{_SETUPTOOLS_REMEDY}."
        )
    # Not imported, because that configures the root logger.
    if importlib.util.find_spec("lvis") is None:
        raise ImportError(f"lvis is not installed: {_LVIS_REMEDY}.")


def _import_or_explain(name: str, remedy: str) -> ModuleType:
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    # Builds that do not match fail with RuntimeError or OSError, not only with ImportError.
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise ImportError(f"{package} is not installed: {remedy}.") from error
        cause = str(error).strip().partition("\n")[0].rstrip(".")
        raise ImportError(
            f"{package} cannot be imported ({type(error).__name__}: {cause}): {remedy}."
        ) from error
