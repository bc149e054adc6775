import pytest

from rankdet.data.glyphs import GlyphsRecipe


@pytest.fixture(scope="session")
def recipe() -> GlyphsRecipe:
    return GlyphsRecipe(
        name="tiny_glyphs",
        num_classes=6,
        image_size=64,
        glyph_sizes=(16, 28),
        max_objects=4,
        num_negatives=2,
        train_images=40,
        most_frequent=30,
        least_frequent=2,
        val_images=12,
        val_images_per_class=5,
    )
