"""Public names that a package imports when they are first used, so that one does not bring all."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_names(
    package: str, module_of: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: its ``__name__``.
        module_of: the module inside the package, by public name.

    Returns:
        Both functions. An unknown name is an AttributeError.
    """

    def get(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    def names() -> list[str]:
        return sorted({*vars(import_module(package)), *module_of})

    return get, names
