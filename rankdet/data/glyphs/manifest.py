"""The record of what a folder was generated from, and of what was generated."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from rankdet.data.glyphs.annotations import Json
from rankdet.data.glyphs.recipe import GlyphsRecipe, Split

ANNOTATION_FILE = "annotations.json"
MANIFEST_FILE = "manifest.json"
# To be raised whenever the same recipe gives other content.
FORMAT_VERSION = 2


def write_manifest(folder: Path, recipe: GlyphsRecipe, split: Split) -> None:
    """Record what the folder holds."""
    content = {"source": _source(recipe, split), "sha256": {ANNOTATION_FILE: _sha256(folder)}}
    (folder / MANIFEST_FILE).write_text(json.dumps(content, indent=1) + "\n")


def is_current(folder: Path, recipe: GlyphsRecipe, split: Split) -> bool:
    """Whether the folder holds what the recipe and this version of the generator would make.

    Raises:
        ValueError: it should, but its files were changed or are incomplete.
    """
    if not folder.is_dir():
        return False
    try:
        recorded = json.loads((folder / MANIFEST_FILE).read_text())
        if recorded["source"] != _source(recipe, split):
            return False
        intact = recorded["sha256"] == {ANNOTATION_FILE: _sha256(folder)}
    except (OSError, ValueError, TypeError, KeyError):
        intact = False
    if not intact or len(list((folder / "images").glob("*"))) != recipe.num_images(split):
        raise ValueError(
            f"The files in {folder} are damaged or were edited; run "
            f"`python -m rankdet.tools.dataset generate {recipe.dataset_name(split)} --force` "
            "or delete that folder."
        )
    return True


def _source(recipe: GlyphsRecipe, split: Split) -> Json:
    source = {"format_version": FORMAT_VERSION, "split": split, "recipe": asdict(recipe)}
    # Through JSON, which turns tuples into lists, so that it compares equal to what is read.
    return dict(json.loads(json.dumps(source)))


def _sha256(folder: Path) -> str:
    return hashlib.sha256((folder / ANNOTATION_FILE).read_bytes()).hexdigest()
