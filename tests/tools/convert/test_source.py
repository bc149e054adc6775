"""Files of strangers are read as data."""

import datetime
import os
import pickle
from collections import OrderedDict

import pytest
import torch

from rankdet.tools.convert.settings import IMAGENET, ImageFormat, parse_settings, read_settings
from rankdet.tools.convert.source import read_source

WEIGHTS = OrderedDict({"backbone.conv1.weight": torch.ones(2, 3, 1, 1)})


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


class Runs:
    """Would make a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_mmdetection_3(tmp_path):
    meta = {
        "cfg": "model = dict(type='RetinaNet')",
        "mmdet_version": "3.3.0",
        "dataset_meta": {"CLASSES": ("cat", "dog")},
        "time": datetime.datetime(2024, 1, 1),
    }
    content = {"meta": meta, "state_dict": WEIGHTS, "optimizer": {}, "message_hub": {}}
    source = read_source(saved(tmp_path / "x.pth", content))
    assert list(source.weights) == list(WEIGHTS)
    assert source.settings.get("type") == "RetinaNet"
    assert source.class_names == ["cat", "dog"]
    assert source.mmdet_version == "3.3.0"
    assert source.other_parts == ["message_hub", "optimizer"]
    assert len(source.sha256) == 64


@pytest.mark.parametrize("is_zip", [True, False])
def test_mmdetection_2(tmp_path, is_zip):
    meta = {"config": "model = dict(type='ATSS')", "CLASSES": ("cat",), "mmdet_version": "2.8.0"}
    content = {"meta": meta, "state_dict": WEIGHTS}
    path = saved(tmp_path / "x.pth", content, _use_new_zipfile_serialization=is_zip)
    source = read_source(path)
    assert source.settings.get("type") == "ATSS"
    assert source.class_names == ["cat"]


def test_a_state_dict_alone_and_of_data_parallel(tmp_path):
    weights = {f"module.{name}": value for name, value in WEIGHTS.items()}
    source = read_source(saved(tmp_path / "x.pth", weights))
    assert list(source.weights) == list(WEIGHTS)
    assert not source.settings.is_known


def test_a_config_beside_the_checkpoint_wins(tmp_path):
    config = tmp_path / "config.py"
    config.write_text("model = dict(type='FCOS')\n")
    content = {"meta": {"cfg": "model = dict(type='ATSS')"}, "state_dict": WEIGHTS}
    source = read_source(saved(tmp_path / "x.pth", content), config)
    assert source.settings.get("type") == "FCOS"


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    folder = tmp_path / "made"
    path = saved(tmp_path / "x.pth", {"meta": Runs(folder), "state_dict": WEIGHTS})
    with pytest.raises(ValueError, match=r"it names (posix|nt)\.mkdir, which no checkpoint"):
        read_source(path)
    assert not folder.exists()


@pytest.mark.parametrize("write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_code_in_an_old_file_is_refused_and_not_run(tmp_path, write):
    folder, path = tmp_path / "made", tmp_path / "x.pth"
    options = {"_use_new_zipfile_serialization": False} if write is torch.save else {}
    write({"state_dict": Runs(folder)}, path, **options)
    with pytest.raises(ValueError, match="is no checkpoint of PyTorch, or damaged"):
        read_source(path)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, not weights by name"),
        ({}, "holds no weights"),
        ({"state_dict": {"a": 1}}, "holds 'a', a int, where a weight is expected"),
        ({"model": {"backbone.bottom_up.x": torch.ones(1)}}, "has Detectron2's names already"),
        ({"backbone.bottom_up.x": torch.ones(1)}, "has Detectron2's names already"),
        ({"a": torch.ones(1).to_sparse()}, "a Tensor of torch.float32 and torch.sparse_coo"),
        ({"a": torch.ones(1, dtype=torch.complex64)}, "a Tensor of torch.complex64"),
        ({"a": torch.ones(1, device="meta")}, "holds 'a', a Tensor of torch.float32"),
        ({"a": torch.quantize_per_tensor(torch.ones(1), 1.0, 0, torch.qint8)}, "of torch.qint8"),
    ],
)
def test_other_files_are_one_sentence(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_source(saved(tmp_path / "x.pth", content))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_damaged_files_are_one_sentence(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no checkpoint of PyTorch, or damaged") as caught:
        read_source(path)
    assert "\n" not in str(caught.value)


def test_weights_of_detectron2_need_no_conversion(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04}.")
    with pytest.raises(ValueError, match=r"need no conversion: give it as train\.init_checkpoint"):
        read_source(tmp_path / "x.pkl")


def test_a_file_that_was_cut_off_is_one_sentence(tmp_path):
    path = saved(tmp_path / "x.pth", {"state_dict": WEIGHTS})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="no checkpoint of PyTorch, or damaged"):
        read_source(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; give a file"):
        read_source(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "model = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], "
            "std=[58.395, 57.12, 57.375], bgr_to_rgb=True))",
            IMAGENET,
        ),
        (
            "model = dict(data_preprocessor=dict(mean=[1, 2, 3], std=[1, 1, 1]))",
            ImageFormat("BGR", (1, 2, 3), (1, 1, 1)),
        ),
        (
            "img_norm_cfg = dict(mean=[1, 2, 3], std=[1, 1, 1], to_rgb=False)",
            ImageFormat("BGR", (1, 2, 3), (1, 1, 1)),
        ),
        (
            "data = dict(test=dict(pipeline=[dict(type='Load'), dict(type='MultiScale', "
            "transforms=[dict(type='Normalize', mean=(1, 2, 3), std=(2, 2, 2))])]))",
            ImageFormat("RGB", (1, 2, 3), (2, 2, 2)),
        ),
        (
            "img_norm_cfg = dict(mean=[1, 2, 3], std=[1, 1, 1])\ndata = dict(test=dict(pipeline=["
            "dict(type='Normalize', mean=[4, 5, 6], std=[1, 1, 1], to_rgb=False)]))",
            ImageFormat("BGR", (4, 5, 6), (1, 1, 1)),
        ),
        ("data = []\nimg_norm_cfg = 3", None),
        ("img_norm_cfg = dict(mean=[1, 2, 3], std=[1, 0, 1])", None),
        ("img_norm_cfg = dict(mean=[1, 2, 3], std=[1, 1e999, 1])", None),
        (f"img_norm_cfg = dict(mean=[1, 2, {'9' * 400}], std=[1, 1, 1])", None),
        ("model = dict(data_preprocessor=dict(mean=[1, 2], std=[1, 1]))", None),
        ("img_norm_cfg = dict(mean=[f(), 2, 3], std=[1, 1, 1])", None),
        ("", None),
    ],
)
def test_the_image_format_of_a_config(text, expected):
    assert parse_settings(text).image_format() == expected


def test_only_literals_of_a_config_are_read(tmp_path):
    made = tmp_path / "made"
    text = (
        f"import os\nos.mkdir({str(made)!r})\n"
        f"model = dict(type='A', x=os.mkdir({str(made)!r}), y=[-1, 2.5, (None, True)], **{{}}, "
        "z={'k': 'v', 3: 4})\nother: int = 3\n"
    )
    settings = parse_settings(text)
    assert settings.content["model"] == {
        "type": "A",
        "x": None,
        "y": [-1, 2.5, [None, True]],
        "z": {"k": "v"},
    }
    assert not made.exists()


@pytest.mark.parametrize("text", ["model = (", "(" * 5000, "\0", "x" * 2_000_001])
def test_text_that_is_no_config_says_nothing(text):
    assert not parse_settings(text).is_known


def test_a_list_of_one_may_be_given_as_its_value():
    settings = parse_settings("model = dict(roi_head=dict(bbox_head=dict(a=1)))")
    assert settings.get("roi_head", "bbox_head", 2, "a") == 1
    settings = parse_settings("model = dict(roi_head=dict(bbox_head=[dict(a=1), dict(a=2)]))")
    assert settings.get("roi_head", "bbox_head", 1, "a") == 2
    assert settings.get("roi_head", "bbox_head", 7, "a") is None


def test_a_source_config_has_to_describe_a_model(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("_base_ = 'other.py'\n")
    with pytest.raises(ValueError, match="has no model = dict"):
        read_settings(path)
    with pytest.raises(FileNotFoundError, match="--source-config"):
        read_settings(tmp_path / "none.py")
