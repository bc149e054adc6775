"""The tiny LVIS dataset of the tests loads as Detectron2's builtin `lvis_v1_*` datasets."""

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import read_image


@pytest.mark.parametrize(("name", "num_images"), [("lvis_v1_train", 6), ("lvis_v1_val", 4)])
def test_tiny_lvis_loads_as_builtin_dataset(
    name: str, num_images: int, lvis_datasets: Path
) -> None:
    dicts = DatasetCatalog.get(name)
    assert len(dicts) == num_images
    assert len(MetadataCatalog.get(name).thing_classes) == 1203
    for record in dicts:
        assert read_image(record["file_name"]).shape[:2] == (record["height"], record["width"])
        assert len(record["annotations"]) == 3
        assert record["neg_category_ids"]
    assert any(record["not_exhaustive_category_ids"] for record in dicts)
