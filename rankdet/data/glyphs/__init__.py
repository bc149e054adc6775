"""Glyphs, the embedded long-tailed dataset: characters on clutter, generated where it is needed.

Importing ``rankdet.data`` registers ``glyphs_smoke``, ``glyphs`` and ``glyphs_1203`` as ``_train``
and ``_val``, with the metadata of LVIS. ``DatasetCatalog.get`` generates what is missing.
"""

from rankdet.data.glyphs.recipe import GlyphsRecipe
from rankdet.data.glyphs.registration import ensure_glyphs, glyphs_names, register_glyphs

__all__ = ["GlyphsRecipe", "ensure_glyphs", "glyphs_names", "register_glyphs"]
