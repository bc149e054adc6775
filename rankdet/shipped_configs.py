"""Finds the configs that come with rankdet: in a checkout, and in the installed package.

Every layer may import it, because it needs nothing but the standard library.
"""

import difflib
from pathlib import Path

_PARTS = "common/"
_PACKAGE = Path(__file__).resolve().parent


def configs_folder() -> Path:
    """Folder of all configs: inside the installed package, or ``configs`` of the checkout."""
    installed = _PACKAGE / "model_zoo" / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def config_names() -> list[str]:
    """Names of all configs, e.g. ``glyphs/mask_rcnn_r18_fpn_ecm.py``, parts of others included."""
    folder = configs_folder()
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))


def shipped_config(name: str) -> Path:
    """Find the file of a config.

    Args:
        name: relative to the folder of all configs, with its suffix.

    Returns:
        Its absolute path.

    Raises:
        FileNotFoundError: there is no config of that name; the message names the nearest.
    """
    if name not in config_names():
        raise FileNotFoundError(f"the model zoo has no config {name!r}; {nearest_configs(name)}.")
    return configs_folder() / name


def nearest_configs(name: str) -> str:
    """Part of a sentence that names the configs whose names are most similar to ``name``."""
    is_part = name.startswith(_PARTS)
    names = [one for one in config_names() if one.startswith(_PARTS) == is_part]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.0)
    return f"the nearest are {', '.join(near)}" if near else "it is empty"
