from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from pycocotools import mask as coco_mask

import rankdet.data  # noqa: F401  (registers the shipped datasets)
from rankdet.data.glyphs import ensure_glyphs, glyphs_names, register_glyphs
from rankdet.data.glyphs.recipe import RECIPES


@pytest.fixture
def root(recipe, tmp_path):
    register_glyphs([recipe], tmp_path)
    yield tmp_path
    for split in ("train", "val"):
        DatasetCatalog.remove(f"tiny_glyphs_{split}")
        MetadataCatalog.remove(f"tiny_glyphs_{split}")


def test_shipped_datasets_are_registered_on_import():
    expected = {recipe.dataset_name(split) for recipe in RECIPES for split in ("train", "val")}
    assert expected <= set(glyphs_names())


def test_registration_generates_nothing(root):
    assert list(root.iterdir()) == []


def test_asking_for_a_dataset_generates_and_loads_it(recipe, root):
    records = DatasetCatalog.get("tiny_glyphs_train")
    assert len(records) == recipe.train_images
    assert all(Path(record["file_name"]).is_file() for record in records)
    classes = {one["category_id"] for record in records for one in record["annotations"]}
    assert classes == set(range(recipe.num_classes))
    assert not (root / "tiny_glyphs_val").exists()


def test_metadata_is_that_of_lvis(recipe, root):
    metadata = MetadataCatalog.get("tiny_glyphs_val")
    assert metadata.evaluator_type == "lvis"
    assert metadata.thing_classes == list(recipe.classes)
    assert [one["id"] for one in metadata.class_image_count] == [1, 2, 3, 4, 5, 6]
    counts = [one["image_count"] for one in metadata.class_image_count]
    assert counts == recipe.image_counts("train")
    assert metadata.thing_dataset_id_to_contiguous_id == {k + 1: k for k in range(6)}
    assert metadata.image_root == f"{root}/tiny_glyphs_val/"


def perfect_prediction(record):
    """The annotated objects as a detector's output."""
    size = (record["height"], record["width"])
    objects = record["annotations"]
    boxes = np.array([one["bbox"] for one in objects])
    boxes[:, 2:] += boxes[:, :2]
    parts = [coco_mask.frPyObjects(one["segmentation"], *size) for one in objects]
    masks = [coco_mask.decode(coco_mask.merge(part)) for part in parts]
    return Instances(
        size,
        pred_boxes=Boxes(boxes),
        scores=torch.ones(len(objects)),
        pred_classes=torch.tensor([one["category_id"] for one in objects]),
        pred_masks=torch.from_numpy(np.stack(masks)).bool(),
    )


def test_coco_evaluator_of_detectron2_scores_a_perfect_detector_with_100(root):
    """It asks for `iscrowd` of each object, and for the ids of the classes."""
    records = DatasetCatalog.get("tiny_glyphs_val")
    evaluator = COCOEvaluator("tiny_glyphs_val", distributed=False)
    evaluator.reset()
    evaluator.process(records, [{"instances": perfect_prediction(one)} for one in records])
    results = evaluator.evaluate()
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["segm"]["AP"] == pytest.approx(100)


def test_ensure_makes_the_annotation_file_of_the_metadata(root):
    metadata = MetadataCatalog.get("tiny_glyphs_val")
    assert not Path(metadata.json_file).exists()
    assert metadata.ensure() == Path(metadata.json_file) == ensure_glyphs("tiny_glyphs_val")
    assert Path(metadata.json_file).is_file()


def test_registering_again_replaces(recipe, root, tmp_path):
    register_glyphs([recipe], tmp_path / "elsewhere")
    assert "elsewhere" in MetadataCatalog.get("tiny_glyphs_val").json_file


def test_default_place_is_that_of_detectron2(recipe, root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "/somewhere")
    register_glyphs([recipe])
    path = MetadataCatalog.get("tiny_glyphs_val").json_file
    assert path == "/somewhere/glyphs/tiny_glyphs_val/annotations.json"


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="'glyph_train' is not an embedded dataset; choose from"):
        ensure_glyphs("glyph_train")
