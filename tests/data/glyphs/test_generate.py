import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from lvis import LVIS

from rankdet.data.frequency_groups import frequency_group
from rankdet.data.glyphs import generate, manifest
from rankdet.data.glyphs.generate import ensure_split


@pytest.fixture(scope="session")
def generated(recipe, tmp_path_factory):
    root = tmp_path_factory.mktemp("glyphs")
    for split in ("train", "val"):
        ensure_split(recipe, split, root / split)
    return root


@pytest.fixture
def folder(generated, tmp_path):
    """A copy of the validation split, to be damaged."""
    return shutil.copytree(generated / "val", tmp_path / "val")


def read(folder):
    return json.loads((folder / "annotations.json").read_text())


def all_bytes(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_counts_of_the_categories_are_those_of_the_annotations(generated):
    content = read(generated / "train")
    instances = Counter(one["category_id"] for one in content["annotations"])
    pairs = {(one["image_id"], one["category_id"]) for one in content["annotations"]}
    images = Counter(category for _, category in pairs)
    for category in content["categories"]:
        assert category["instance_count"] == instances[category["id"]]
        assert category["image_count"] == images[category["id"]]
        assert category["frequency"] == frequency_group(images[category["id"]])


def test_validation_has_the_categories_of_training_and_shows_all_equally(recipe, generated):
    content = read(generated / "val")
    assert content["categories"] == read(generated / "train")["categories"]
    pairs = {(one["image_id"], one["category_id"]) for one in content["annotations"]}
    images = Counter(category for _, category in pairs)
    assert set(images.values()) == {recipe.val_images_per_class}
    assert len(images) == recipe.num_classes


def test_federated_fields_are_consistent(generated):
    content = read(generated / "train")
    shown = {one["id"]: set() for one in content["images"]}
    for one in content["annotations"]:
        shown[one["image_id"]].add(one["category_id"])
    assert any(one["not_exhaustive_category_ids"] for one in content["images"])
    for one in content["images"]:
        assert set(one["not_exhaustive_category_ids"]) <= shown[one["id"]]
        assert one["neg_category_ids"]
        assert not set(one["neg_category_ids"]) & shown[one["id"]]


def test_the_lvis_package_reads_it(generated):
    lvis = LVIS(str(generated / "val" / "annotations.json"))
    annotation = lvis.load_anns([1])[0]
    assert lvis.ann_to_mask(annotation).sum() == annotation["area"]


@pytest.mark.slow  # two processes that import torch
def test_bytes_do_not_depend_on_the_number_of_processes(recipe, generated, tmp_path):
    ensure_split(recipe, "train", tmp_path / "train", num_workers=2)
    assert all_bytes(tmp_path / "train") == all_bytes(generated / "train")


def test_seed_changes_the_images(recipe, generated, tmp_path):
    ensure_split(replace(recipe, seed=1), "val", tmp_path / "val")
    assert read(tmp_path / "val")["annotations"] != read(generated / "val")["annotations"]


def test_existing_files_are_not_generated_again(recipe, folder, monkeypatch):
    monkeypatch.setattr(generate, "make_image", None)
    assert ensure_split(recipe, "val", folder) == folder / "annotations.json"


def test_complete_files_are_used_without_a_lock(recipe, folder, monkeypatch):
    """So that their folder can be read-only."""
    monkeypatch.setattr(generate, "file_lock", None)
    assert ensure_split(recipe, "val", folder) == folder / "annotations.json"


def test_interrupted_replacement_is_done_again(recipe, generated, folder, monkeypatch):
    def interrupted(path, ignore_errors=False, delete=shutil.rmtree):
        if (path / "annotations.json").exists():
            (path / "annotations.json").unlink()
            raise KeyboardInterrupt
        delete(path, ignore_errors)

    other = replace(recipe, val_images=14)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(generate.shutil, "rmtree", interrupted)
        ensure_split(other, "val", folder)
    ensure_split(recipe, "val", folder)
    assert all_bytes(folder) == all_bytes(generated / "val")
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["val"]


def test_interrupted_generation_leaves_nothing_that_counts(
    recipe, generated, tmp_path, monkeypatch
):
    def interrupted(recipe, split, folder, index, plan, make=generate.make_image):
        if index == 3:
            raise KeyboardInterrupt
        return make(recipe, split, folder, index, plan)

    folder = tmp_path / "val"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(generate, "make_image", interrupted)
        ensure_split(recipe, "val", folder)
    assert not folder.exists()
    ensure_split(recipe, "val", folder)
    assert all_bytes(folder) == all_bytes(generated / "val")
    assert not (tmp_path / "val.partial").exists()


def test_many_that_ask_at_once_generate_once(recipe, tmp_path, caplog):
    caplog.set_level("INFO", logger=generate.__name__)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: ensure_split(recipe, "val", tmp_path / "val"), range(3)))
    assert caplog.text.count("Generating 12 images of tiny_glyphs_val in") == 1


def truncate(folder):
    path = folder / "annotations.json"
    path.write_text(path.read_text()[:-100])


def edit(folder):
    path = folder / "annotations.json"
    path.write_text(path.read_text().replace('"id":1,', '"id":2,', 1))


def lose_an_image(folder):
    (folder / "images" / "000002.jpg").unlink()


def lose_the_manifest(folder):
    (folder / "manifest.json").unlink()


def garble_the_manifest(folder):
    (folder / "manifest.json").write_text("[]")


DAMAGES = [truncate, edit, lose_an_image, lose_the_manifest, garble_the_manifest]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_files_are_refused_and_can_be_replaced(recipe, generated, folder, damage):
    damage(folder)
    with pytest.raises(ValueError, match=f"{folder} are damaged .* tiny_glyphs_val --force"):
        ensure_split(recipe, "val", folder)
    ensure_split(recipe, "val", folder, force=True)
    assert all_bytes(folder) == all_bytes(generated / "val")


def test_files_of_another_recipe_are_replaced(recipe, folder):
    other = replace(recipe, val_images=14)
    ensure_split(other, "val", folder)
    assert len(read(folder)["images"]) == 14


def test_files_of_another_version_of_the_generator_are_replaced(
    recipe, generated, folder, monkeypatch
):
    monkeypatch.setattr(manifest, "FORMAT_VERSION", manifest.FORMAT_VERSION + 1)
    ensure_split(recipe, "val", folder)
    changed = {
        name
        for name, content in all_bytes(generated / "val").items()
        if all_bytes(folder)[name] != content
    }
    assert changed == {"manifest.json"}
