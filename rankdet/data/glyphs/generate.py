"""Generates the files of a split: in parallel, once, and all or nothing."""

import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import cv2
from iopath.common.file_io import file_lock
from tqdm import tqdm

from rankdet.data.glyphs.annotations import Json, lvis_json
from rankdet.data.glyphs.images import make_image
from rankdet.data.glyphs.manifest import ANNOTATION_FILE, is_current, write_manifest
from rankdet.data.glyphs.plan import ImagePlan, plan_split
from rankdet.data.glyphs.recipe import GlyphsRecipe, Split

# Starting a process costs a few seconds, as it imports torch again.
_MIN_IMAGES_PER_WORKER = 2000

logger = logging.getLogger(__name__)


def ensure_split(
    recipe: GlyphsRecipe,
    split: Split,
    folder: Path,
    *,
    num_workers: int | None = None,
    force: bool = False,
) -> Path:
    """Generate a split unless its files are there; processes that ask at once wait for the first.

    Args:
        recipe: what to generate.
        split: which half of it.
        folder: where; files of another recipe or format there are replaced.
        num_workers: number of processes; None: as many as there are cores, fewer for few images.
        force: generate in any case.

    Returns:
        Path of the annotation file.

    Raises:
        ValueError: the files there are damaged.
    """
    if not force and _is_surely_current(recipe, split, folder):
        return folder / ANNOTATION_FILE
    with file_lock(str(folder)):
        if force or not is_current(folder, recipe, split):
            logger.info(
                "Generating %d images of %s in %s.",
                recipe.num_images(split),
                recipe.dataset_name(split),
                folder,
            )
            _generate(recipe, split, folder, num_workers)
    return folder / ANNOTATION_FILE


def _is_surely_current(recipe: GlyphsRecipe, split: Split, folder: Path) -> bool:
    """Whether the files are there, found out without the lock: folders can be read-only."""
    try:
        return is_current(folder, recipe, split)
    except ValueError:  # or another process is just replacing them
        return False


def _generate(recipe: GlyphsRecipe, split: Split, folder: Path, num_workers: int | None) -> None:
    partial_folder = folder.with_name(folder.name + ".partial")
    old_folder = folder.with_name(folder.name + ".old")
    for leftover in (partial_folder, old_folder):
        shutil.rmtree(leftover, ignore_errors=True)
    (partial_folder / "images").mkdir(parents=True)
    plans = plan_split(recipe, split)
    instances = _make_images(recipe, split, partial_folder, plans, num_workers)
    text = json.dumps(lvis_json(recipe, split, plans, instances), separators=(",", ":"))
    (partial_folder / ANNOTATION_FILE).write_text(text)
    write_manifest(partial_folder, recipe, split)
    # Half a folder would count as damaged, so the old one is not deleted where it stands.
    if folder.exists():
        folder.rename(old_folder)
    partial_folder.rename(folder)
    shutil.rmtree(old_folder, ignore_errors=True)


def _make_images(
    recipe: GlyphsRecipe,
    split: Split,
    folder: Path,
    plans: list[ImagePlan],
    num_workers: int | None,
) -> list[list[Json]]:
    make = partial(make_image, recipe, split, folder)
    if num_workers is None:
        num_workers = min(os.cpu_count() or 1, len(plans) // _MIN_IMAGES_PER_WORKER)
    with _mapper(num_workers) as mapper:
        made = mapper(make, count(), plans)
        return list(tqdm(made, total=len(plans), desc=folder.stem, unit="image"))


@contextmanager
def _mapper(num_workers: int) -> Iterator[Callable[..., Iterable[list[Json]]]]:
    """``map``, on so many processes."""
    if num_workers <= 1:
        yield map
        return
    # Not forked: the caller may have threads, or CUDA, which do not survive that.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        num_workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield partial(pool.map, chunksize=16)
