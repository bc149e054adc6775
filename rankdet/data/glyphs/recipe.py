"""What a glyphs dataset consists of: its size, its long tail and its seed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rankdet.data.glyphs.characters import CHARACTERS

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class GlyphsRecipe:
    """Everything that decides the content of a glyphs dataset.

    Attributes:
        name: stem of the dataset names: ``<name>_train`` and ``<name>_val``.
        num_classes: at most the number of shipped characters.
        image_size: side of the square images, pixels.
        glyph_sizes: smallest and largest longer side of a glyph, pixels.
        max_objects: most glyphs in one image.
        num_negatives: most classes per image that are listed as absent.
        train_images: number of training images.
        most_frequent: training images of the most frequent class.
        least_frequent: training images of the rarest class; those between fall exponentially.
        val_images: number of validation images.
        val_images_per_class: validation images of every class.
        seed: every random choice depends on it.
    """

    name: str
    num_classes: int
    image_size: int
    glyph_sizes: tuple[int, int]
    max_objects: int
    num_negatives: int
    train_images: int
    most_frequent: int
    least_frequent: int
    val_images: int
    val_images_per_class: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the number of classes.

        Raises:
            ValueError: there are not so many characters.
        """
        if not 1 < self.num_classes <= len(CHARACTERS):
            raise ValueError(
                f"num_classes of {self.name!r} is {self.num_classes}; "
                f"choose from 2 to {len(CHARACTERS)}, the number of shipped characters."
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The character of each class."""
        return CHARACTERS[: self.num_classes]

    def dataset_name(self, split: Split) -> str:
        """Name under which a split is registered and stored."""
        return f"{self.name}_{split}"

    def num_images(self, split: Split) -> int:
        """Number of images of a split."""
        return self.train_images if split == "train" else self.val_images

    def image_counts(self, split: Split) -> list[int]:
        """Number of images that show each class, exact by construction."""
        if split == "val":
            return [self.val_images_per_class] * self.num_classes
        counts = np.geomspace(self.most_frequent, self.least_frequent, self.num_classes)
        # Shuffled, so that nothing can rely on classes being sorted by frequency.
        shuffled = self.rng(len(SPLITS)).permutation(counts.round())
        return [int(count) for count in shuffled]

    def rng(self, *key: int) -> np.random.Generator:
        """Random generator of one part of the work, independent of every other part's."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


RECIPES = (
    GlyphsRecipe(
        name="glyphs_smoke",
        num_classes=10,
        image_size=96,
        glyph_sizes=(18, 44),
        max_objects=5,
        num_negatives=4,
        train_images=240,
        most_frequent=200,
        least_frequent=4,
        val_images=40,
        val_images_per_class=14,
    ),
    GlyphsRecipe(
        name="glyphs",
        num_classes=36,
        image_size=128,
        glyph_sizes=(18, 52),
        max_objects=7,
        num_negatives=12,
        train_images=1400,
        most_frequent=800,
        least_frequent=3,
        val_images=576,
        val_images_per_class=64,
    ),
    GlyphsRecipe(
        name="glyphs_1203",
        num_classes=1203,
        image_size=256,
        glyph_sizes=(18, 112),
        max_objects=12,
        num_negatives=12,
        train_images=40_000,
        most_frequent=2000,
        least_frequent=1,
        val_images=4812,
        val_images_per_class=32,
    ),
)
