"""Importing rankdet.data registers the embedded datasets, and generates none of them."""

import os
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

import rankdet.data


@pytest.mark.parametrize("name", ["glyphs_smoke", "glyphs", "glyphs_1203"])
def test_glyphs_are_registered_in_the_dataset_folder(name: str) -> None:
    assert rankdet.data.class_counts
    for split in ("train", "val"):
        assert f"{name}_{split}" in DatasetCatalog
        json_file = Path(MetadataCatalog.get(f"{name}_{split}").json_file)
        assert Path(os.environ["DETECTRON2_DATASETS"]) in json_file.parents


@pytest.mark.parametrize("name", rankdet.data.__all__)
def test_exported_names_exist(name: str) -> None:
    assert getattr(rankdet.data, name) is not None


def test_frequency_groups_are_exported() -> None:
    members = vars(rankdet.data.frequency_groups)
    public = {
        name
        for name, member in members.items()
        if getattr(member, "__module__", "") == "rankdet.data.frequency_groups"
    }
    private = {name for name in public if name.startswith("_")}
    assert public - private <= set(rankdet.data.__all__)
    assert {"Classes", "frequency_group", "class_groups"} <= public
