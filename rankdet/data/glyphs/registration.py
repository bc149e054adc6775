"""Registers the glyphs datasets with Detectron2's catalogs."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_lvis_json

from rankdet.data.glyphs.annotations import Json
from rankdet.data.glyphs.generate import ensure_split
from rankdet.data.glyphs.manifest import ANNOTATION_FILE
from rankdet.data.glyphs.recipe import RECIPES, SPLITS, GlyphsRecipe, Split


def register_glyphs(
    recipes: Sequence[GlyphsRecipe] = RECIPES, root: str | Path | None = None
) -> None:
    """Register both splits of each recipe as ``<name>_train`` and ``<name>_val``.

    Nothing is generated until a dataset is asked for. Registering a name again replaces it.

    Args:
        recipes: of the datasets.
        root: folder of the datasets; None: ``glyphs`` in ``$DETECTRON2_DATASETS``, which is
            ``datasets`` unless set, as everywhere in Detectron2.
    """
    if root is None:
        root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser() / "glyphs"
    for recipe in recipes:
        for split in SPLITS:
            _register_split(recipe, split, Path(root) / recipe.dataset_name(split))


def ensure_glyphs(name: str, *, num_workers: int | None = None, force: bool = False) -> Path:
    """Generate a registered glyphs dataset unless its files are there.

    Args:
        name: for instance ``glyphs_train``.
        num_workers: number of processes; None: as many as there are cores, fewer for few images.
        force: generate in any case.

    Returns:
        Path of the annotation file.

    Raises:
        ValueError: no glyphs dataset has that name, or its files are damaged.
    """
    known = glyphs_names()
    if name not in known:
        raise ValueError(
            f"{name!r} is not an embedded dataset; choose from {', '.join(known)}, or register "
            "your recipe with rankdet.data.glyphs.register_glyphs."
        )
    path: Path = MetadataCatalog.get(name).ensure(num_workers=num_workers, force=force)
    return path


def glyphs_names() -> list[str]:
    """Names of the registered glyphs datasets."""
    return [
        name for name in DatasetCatalog.list() if "ensure" in MetadataCatalog.get(name).as_dict()
    ]


def _register_split(recipe: GlyphsRecipe, split: Split, folder: Path) -> None:
    name = recipe.dataset_name(split)
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    ensure = partial(ensure_split, recipe, split, folder)
    DatasetCatalog.register(name, partial(_load, ensure))
    MetadataCatalog.get(name).set(
        json_file=str(folder / ANNOTATION_FILE),
        # Detectron2's loader appends the file's path to this without a separator.
        image_root=f"{folder}/",
        evaluator_type="lvis",
        thing_classes=list(recipe.classes),
        # Without it, Detectron2's COCOEvaluator would take a class for the one before it.
        thing_dataset_id_to_contiguous_id={
            index: index - 1 for index in range(1, recipe.num_classes + 1)
        },
        class_image_count=[
            {"id": index, "image_count": images}
            for index, images in enumerate(recipe.image_counts("train"), start=1)
        ],
        ensure=ensure,
    )


def _load(ensure: "partial[Path]") -> list[Json]:
    json_file = ensure()
    records: list[Json] = load_lvis_json(str(json_file), f"{json_file.parent}/")
    return records
