import json
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from PIL import Image
from support.shapes_dataset import make_dicts, shapes

from rankdet.data.glyphs import GlyphsRecipe, register_glyphs
from rankdet.tools.dataset import main

RECIPE = GlyphsRecipe(
    name="tool_glyphs",
    num_classes=5,
    image_size=48,
    glyph_sizes=(16, 24),
    max_objects=3,
    num_negatives=2,
    train_images=20,
    most_frequent=15,
    least_frequent=2,
    val_images=5,
    val_images_per_class=2,
)


@pytest.fixture(scope="module", autouse=True)
def glyphs(tmp_path_factory):
    register_glyphs([RECIPE], tmp_path_factory.mktemp("tool"))
    yield
    _forget("tool_glyphs_train", "tool_glyphs_val")


@pytest.fixture
def coco(tmp_path):
    """Two images in the format of COCO: one object and a crowd, and one image without either."""
    objects = [
        {"id": 1, "image_id": 7, "category_id": 30, "bbox": [2, 2, 10, 20], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 12, "bbox": [0, 0, 30, 30], "iscrowd": 1},
    ]
    for one in objects:
        left, top, width, height = one["bbox"]
        one["segmentation"] = [[left, top, left + width, top, left, top + height]]
        one["area"] = width * height / 2
    images = [
        {"id": image, "file_name": f"{image}.png", "width": 40, "height": 32} for image in (7, 9)
    ]
    categories = [{"id": 12, "name": "cat"}, {"id": 30, "name": "dog"}]
    content = {"images": images, "annotations": objects, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    for image in images:
        Image.new("RGB", (40, 32), "gray").save(tmp_path / image["file_name"])
    register_coco_instances("tool_coco", {}, str(tmp_path / "coco.json"), str(tmp_path))
    yield "tool_coco"
    _forget("tool_coco")


def _forget(*names):
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def is_picture(path):
    low, high = Image.open(path).convert("L").getextrema()
    return low < high


def test_generate_prints_the_annotation_file(capsys):
    main(["generate", "tool_glyphs_val", "--workers", "1", "--force"])
    path = capsys.readouterr().out.strip().splitlines()[-1]
    assert path == MetadataCatalog.get("tool_glyphs_val").json_file
    assert len(json.load(open(path))["images"]) == RECIPE.val_images


def test_describe_prints_counts_by_training_frequency_and_plots(capsys, tmp_path):
    output = tmp_path / "plots" / "train.png"
    main(["describe", "tool_glyphs_val", "--output", str(output)])
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["images", "5"] in words
    # 15, 9, 5, 3 and 2 training images; two validation images of each class.
    assert [line[4:9] for line in words if line[:1] == ["common"]] == [["1", "2", "to", "2", "2"]]
    assert [line[4:8] for line in words if line[:1] == ["rare"]] == [["4", "2", "to", "2"]]
    assert is_picture(output)


def test_describe_takes_coco_and_leaves_crowds_out(coco, capsys):
    main(["describe", coco])
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["images", "2"] in words
    assert ["instances", "1"] in words
    assert words.count(["without", "an", "instance", "1"]) == 2  # an image, and the class cat


@pytest.mark.parametrize("name", ["tool_glyphs_val", "tool_coco"])
def test_draw_makes_a_picture(coco, name, tmp_path):
    main(["draw", name, "--num", "3", "--output", str(tmp_path / "grid.png")])
    assert is_picture(tmp_path / "grid.png")


@pytest.mark.parametrize("command", [["describe"], ["draw", "--output", "grid.png"]])
def test_unknown_dataset_ends_with_the_nearest_names(command):
    with pytest.raises(SystemExit, match=r"'tool_glyph_val' is not registered.* tool_glyphs_val"):
        main([command[0], "tool_glyph_val", *command[1:]])


def test_dataset_that_is_not_embedded_can_not_be_generated():
    with pytest.raises(SystemExit, match="'coco_2017_val' is not an embedded dataset; choose from"):
        main(["generate", "coco_2017_val"])


def test_missing_files_are_named(coco, tmp_path):
    (tmp_path / "coco.json").unlink()
    with pytest.raises(SystemExit, match=r"'tool_coco' does not exist: .*coco\.json; the path is"):
        main(["describe", coco])


def test_dataset_without_annotations_can_not_be_drawn(tmp_path):
    image = {"image_id": 1, "file_name": "1.png", "height": 9, "width": 9, "annotations": []}
    DatasetCatalog.register("tool_empty", lambda: [image])
    MetadataCatalog.get("tool_empty").thing_classes = ["cat"]
    with pytest.raises(SystemExit, match="'tool_empty' has no annotations to draw"):
        main(["draw", "tool_empty", "--output", str(tmp_path / "grid.png")])
    _forget("tool_empty")


def test_describe_warns_of_what_is_less_than_it_seems(coco, tmp_path, capsys):
    path = tmp_path / "coco.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["neg_category_ids"] = []
    content["annotations"][0]["bbox"] = [60, 60, 5, 5]
    path.write_text(json.dumps(content))
    main(["describe", coco])
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning")]
    assert [line.split(": ", 1)[1][:60] for line in warnings] == [
        "Dataset 'tool_coco': Detectron2 does not train on 1 of 2 ann",
        "2 of 2 classes have no instance: cat, dog.",
        "Dataset 'tool_coco' is federated, but neg_category_ids of al",
    ]


def test_describe_has_no_warning_of_a_good_dataset(capsys):
    main(["describe", "tool_glyphs_val"])
    assert "Warning" not in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "I;16"])
def test_draw_takes_all_kinds_of_images_and_masks(coco, mode, tmp_path):
    Image.new(mode, (40, 32)).save(tmp_path / "7.png")
    path = tmp_path / "coco.json"
    content = json.loads(path.read_text())
    first = content["annotations"][0]
    masks = (
        {"size": [32, 40], "counts": [0, 1280]},
        {"size": [32, 40], "counts": [1280]},
        [],
        None,
    )
    content["annotations"] += [
        {**first, "id": 10 + i, "segmentation": mask} for i, mask in enumerate(masks)
    ]
    content["annotations"].append({**first, "id": 20, "bbox": [5, 5, 0, 0]})
    path.write_text(json.dumps(content))
    main(["draw", coco, "--output", str(tmp_path / "grid.png")])
    assert is_picture(tmp_path / "grid.png")


def test_check_says_that_all_is_well_and_finds_cut_pixels_on_request(coco, tmp_path, capsys):
    main(["check", coco])
    assert "and the headers of its images can be read" in capsys.readouterr().out
    main(["check", coco, "--decode"])
    assert "and all pixels of its images can be read" in capsys.readouterr().out
    path = tmp_path / "9.png"
    path.write_bytes(path.read_bytes()[:-30])
    main(["check", coco])
    with pytest.raises(SystemExit, match=r"1 of the 2 images of .*9\.png can't be read"):
        main(["check", coco, "--decode"])


def test_classes_without_names_end_with_a_sentence():
    DatasetCatalog.register("nameless", lambda: make_dicts(shapes(), Path()))
    with pytest.raises(SystemExit, match="error: The classes of dataset 'nameless' are unknown"):
        main(["describe", "nameless"])
    DatasetCatalog.remove("nameless")
    MetadataCatalog.remove("nameless")
