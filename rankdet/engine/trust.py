"""Decides which classes and functions a ``config.yaml`` may name: parts of detectors only.

A ``.py`` config is code. A ``config.yaml`` may come from somebody else and is data. It names
classes and functions, and Detectron2 calls them. So each name is imported, and the object behind it
is compared with the lists below. A path through an allowed module to another one
(``detectron2.config.lazy.os.system``) is refused, too.
"""

import argparse
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.utils.registry import locate

from rankdet.engine.renamed import hint_of_name

CLASSES_OF = (
    "detectron2.data.dataset_mapper",
    "detectron2.data.samplers",
    "detectron2.data.transforms",
    "detectron2.engine.hooks",
    "detectron2.evaluation",
    "detectron2.layers",
    "detectron2.modeling",
    "detectron2.solver",
    "detectron2.structures",
    "fvcore.common.param_scheduler",
    "fvcore.nn",
    "fvcore.transforms",
    "rankdet.data",
    "rankdet.engine.hooks",
    "rankdet.engine.rate_factors",
    "rankdet.evaluation",
    "rankdet.losses",
    "rankdet.modeling",
    "torch.nn.modules",
    "torch.optim",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
)
"""Modules whose classes may be named, and those of their submodules."""

FUNCTIONS = (
    "detectron2.data.build.build_detection_test_loader",
    "detectron2.data.build.build_detection_train_loader",
    "detectron2.data.build.get_detection_dataset_dicts",
    "detectron2.layers.batch_norm.get_norm",
    "detectron2.solver.build.get_default_optimizer_params",
    "rankdet.data.class_stats.class_counts",
    "rankdet.data.class_stats.image_counts",
    "rankdet.data.class_stats.instance_counts",
    "rankdet.data.repeat_factors.whole_repeat_factors",
)
"""Functions that may be named. Single ones, because others in these modules write files."""

_EXCEPT = "detectron2.modeling.mmdet_wrapper"  # Hands a dict to another library's registry.
_ARGUMENTS = {
    "cfg": "it stands for a whole config of Detectron2's old kind",
    "proposal_files": "Detectron2 unpickles these files, which can run code",
}
"""Arguments that make allowed functions run code, and why."""
_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_MAX_VALUES = 100_000
_REFERENCE = re.compile(r"\$\{[\w.\[\]-]+\}")


class UntrustedError(ValueError):
    """A config that is data names what is no part of a detector."""


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust MODULE``, what :func:`rankdet.engine.config.load_config` takes as ``trust``."""
    parser.add_argument(
        "--trust",
        metavar="MODULE",
        type=_module,
        action="append",
        default=[],
        help="a module whose code a run's config.yaml may name; may be repeated",
    )


def resolve(name: object, trust: Sequence[str] = ()) -> Any:
    """Import the class or function that a ``config.yaml`` names, if it may be named.

    Args:
        name: dotted.
        trust: modules that the user trusts, with all that they and their submodules define.

    Returns:
        A class or a function.

    Raises:
        UntrustedError: it may not be named, it does not exist, or ``name`` is no dotted name.
    """
    if not isinstance(name, str) or "." not in name or not re.fullmatch(_NAME, name):
        raise UntrustedError(f"{name!r} is no dotted name of a class or function")
    may_import = [*trust, *{".".join(module.split(".")[:2]) for module in CLASSES_OF}]
    if not _is_below(name, may_import):  # To import a module is to run it.
        raise _untrusted(name)
    hint = hint_of_name(name)
    if hint:
        raise UntrustedError(f"it names {name!r}{hint}")
    try:
        found = locate(name)
    except Exception as error:  # An import runs a module, which can raise anything.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UntrustedError(f"{name!r} can't be imported ({reason})") from error
    if not _is_allowed(found, trust):
        raise _untrusted(name, getattr(found, "__module__", None) or name)
    return found


def check_data(content: object, trust: Sequence[str] = ()) -> None:
    """Check all names in a config that is data, at any depth.

    Args:
        content: what was read: containers and values.
        trust: see :func:`resolve`.

    Raises:
        UntrustedError: see :func:`resolve`; or a value would run code when it is used.
    """
    waiting, number = [content], 0
    while waiting:
        node = waiting.pop()
        number += 1
        if number > _MAX_VALUES:
            raise UntrustedError(f"it holds itself, or more than {_MAX_VALUES:,} values")
        if isinstance(node, Mapping):
            _check_call(node, trust)
            waiting += [*node, *node.values()]
        elif isinstance(node, list | tuple | set):
            waiting += node
        elif isinstance(node, str) and "${" in _REFERENCE.sub("", node):
            raise UntrustedError(f"{node!r} computes; write the value, or ${{KEY}} of another one")


def _check_call(node: Mapping[Any, Any], trust: Sequence[str]) -> None:
    if "_target_" not in node:
        return
    resolve(node["_target_"], trust)
    for argument, reason in _ARGUMENTS.items():
        if node.get(argument) is not None:
            raise UntrustedError(
                f"{node['_target_']} gets the argument {argument!r}: {reason}; give it on the "
                "command line, or in a .py config"
            )


def _module(text: str) -> str:
    if not re.fullmatch(_NAME, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a module, such as my_package.heads"
        )
    return text


def _is_allowed(found: object, trust: Sequence[str]) -> bool:
    """Whether something is a class or function that is defined where it may be."""
    if not inspect.isroutine(found) and not inspect.isclass(found):
        return False
    module, name = str(found.__module__), found.__qualname__
    if _is_below(module, trust):
        return True
    if inspect.isclass(found):
        return _is_below(module, CLASSES_OF) and not _is_below(module, [_EXCEPT])
    return f"{module}.{name}" in FUNCTIONS or _is_constructor(found, trust)


def _is_constructor(found: Any, trust: Sequence[str]) -> bool:
    """Whether it is a function that an allowed class offers in place of a constructor."""
    owner_name, _, name = f"{found.__module__}.{found.__qualname__}".rpartition(".")
    try:
        owner = locate(owner_name)
    except Exception:  # As in `resolve`.
        return False
    is_offered = inspect.isclass(owner) and isinstance(
        inspect.getattr_static(owner, name, None), staticmethod | classmethod
    )
    return is_offered and not name.startswith("_") and _is_allowed(owner, trust)


def _is_below(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _untrusted(name: str, defined_in: str = "") -> UntrustedError:
    package = str(defined_in or name).split(".", maxsplit=1)[0]
    return UntrustedError(
        f"it names {name!r}, which is no part of a detector that rankdet knows; if it is yours, or "
        f"you trust its author to run code here, add --trust {package}"
    )
