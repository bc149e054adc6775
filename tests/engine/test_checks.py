import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image
from support.smoke_run import smoke_config
from support.tiny_detr import make_detr
from support.tiny_one_stage import make_retinanet
from support.tiny_two_stage import make_predictor, make_rpn
from torch import nn

from rankdet.engine.checks import check_datasets, check_device
from rankdet.engine.training import build_model
from rankdet.losses import FocalLoss, RankSortLoss, SigmoidBCELoss, SoftmaxCrossEntropyLoss
from rankdet.modeling.detr import QueryLoss


class SemanticHead(nn.Module):
    num_classes = 54  # counts other things, and is none of the checks' business


def detector(num_classes):
    return nn.Sequential(nn.Conv2d(3, 8, 1), SoftmaxCrossEntropyLoss(num_classes), SemanticHead())


@pytest.fixture
def registered():
    """Registers data sets of the annotation files it is given, for the time of a test."""
    names = []

    def register(name, path, **metadata):
        DatasetCatalog.register(name, list)
        MetadataCatalog.get(name).set(json_file=str(path), **metadata)
        names.append(name)
        return name

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=f"train.device={device} can't be used .*; set train.dev"):
        check_device(device)


def test_fitting_data_sets_pass():
    check_datasets(detector(10), ["glyphs_smoke_train"], ["glyphs_smoke_val"])


def test_the_one_class_of_an_rpn_is_no_class_of_the_data_but_those_of_a_predictor_are():
    for loss in (RankSortLoss(1), SigmoidBCELoss(1)):
        check_datasets(make_rpn(loss), ["glyphs_smoke_train"], [])
    with pytest.raises(ValueError, match=r"num_classes=3, but data set .* has 10 classes"):
        check_datasets(make_predictor(RankSortLoss(3)), ["glyphs_smoke_train"], [])


def test_the_classes_of_a_one_stage_detector_are_those_of_the_data():
    with pytest.raises(ValueError, match=r"num_classes=3, but .* has 10 .* model.num_classes=10"):
        check_datasets(make_retinanet(), ["glyphs_smoke_train"], [])


def test_the_classes_of_a_transformer_are_those_of_the_data_but_its_selection_has_one():
    check_datasets(make_detr(QueryLoss(FocalLoss(10))), ["glyphs_smoke_train"], [])
    with pytest.raises(
        ValueError, match=r"=3, but .* has 10 .* transformer .* model\.num_classes=10"
    ):
        check_datasets(make_detr(), ["glyphs_smoke_train"], [])


@pytest.mark.parametrize(
    ("train", "test"), [(["glyphs_smoke_train"], []), ([], ["glyphs_smoke_val"])]
)
def test_other_class_count_is_explained(train, test):
    name = (train + test)[0]
    with pytest.raises(
        ValueError,
        match=f"num_classes=36, but data set '{name}' has 10 classes; set .*num_classes=10",
    ):
        check_datasets(detector(36), train, test)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"glyphs_smoke_trian.*nearest.*glyphs_smoke_train"):
        check_datasets(detector(10), ["glyphs_smoke_trian"], [])


def test_missing_annotation_file_is_named(registered, tmp_path):
    name = registered("no_file", tmp_path / "nowhere.json")
    with pytest.raises(FileNotFoundError, match=r"nowhere.json"):
        check_datasets(detector(10), [name], [])


def test_truncated_annotation_file_is_named(registered, tmp_path):
    path = tmp_path / "half.json"
    path.write_text('{"images": [{"id": 1')
    name = registered("half_a_file", path)
    with pytest.raises(ValueError, match=r"half.json"):
        check_datasets(detector(10), [], [name])


def test_annotation_of_an_unknown_category_is_named(registered, tmp_path):
    path = tmp_path / "stray.json"
    box = {"id": 5, "image_id": 1, "category_id": 9, "bbox": [0, 0, 4, 4], "area": 16}
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 8, "height": 8}],
        "categories": [{"id": 1, "name": "one"}],
        "annotations": [box],
    }
    path.write_text(json.dumps(content))
    name = registered("stray_category", path)
    with pytest.raises(ValueError, match=r"category.*9"):
        check_datasets(detector(1), [name], [])


@pytest.fixture
def only_dicts(tmp_path):
    """A data set of two classes without an annotation file."""
    name = "only_dicts"
    Image.new("RGB", (8, 6)).save(tmp_path / "1.png")
    box = {"bbox": [1, 1, 5, 5], "bbox_mode": BoxMode.XYXY_ABS}
    annotated = {
        "file_name": str(tmp_path / "1.png"),
        "image_id": 1,
        "width": 8,
        "height": 6,
        "annotations": [{"category_id": 1, **box}, {"category_id": 0, **box}],
    }
    DatasetCatalog.register(name, lambda: [annotated])
    MetadataCatalog.get(name).thing_classes = ["a", "b"]
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_data_set_without_annotation_file(only_dicts):
    check_datasets(detector(2), [only_dicts], [only_dicts])
    with pytest.raises(ValueError, match="num_classes=3, but data set 'only_dicts' has 2 classes"):
        check_datasets(detector(3), [], [only_dicts])


def test_missing_files_of_an_evaluation_set_without_annotation_file_are_named():
    name = "cityscapes_fine_instance_seg_val"
    with pytest.raises(FileNotFoundError, match=f"dataset '{name}' .*cityscapes/leftImg8bit/val"):
        check_datasets(detector(8), [], [name])


def test_what_the_mapper_leaves_out_is_known_before_the_training(tmp_path):
    cfg = smoke_config(tmp_path, "dataloader.train.mapper.use_instance_mask=False")
    with pytest.raises(ValueError, match=r"set dataloader\.train\.mapper\.use_instance_mask=True"):
        build_model(cfg)
    build_model(cfg, splits=["test"])
