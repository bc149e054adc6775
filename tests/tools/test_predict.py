import re
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from PIL import Image
from support.smoke_run import smoke_config

from rankdet.data.class_stats import load_dicts
from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.training import build_model
from rankdet.tools.picture_detector import load_detector
from rankdet.tools.predict import find_images, main
from rankdet.tools.video import write_video

SIZE = 96  # pixels, of the pictures of glyphs_smoke


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was moved after it ended; it has learned nothing, but finds something."""
    folder = tmp_path_factory.mktemp("moved")
    cfg = smoke_config("there/before")
    torch.manual_seed(0)
    Checkpointer(build_model(cfg), str(folder)).save("model_final")
    LazyConfig.save(cfg, str(folder / "config.yaml"))
    return folder


@pytest.fixture(scope="module")
def pictures():
    return [Path(record["file_name"]) for record in load_dicts("glyphs_smoke_val")[:2]]


@pytest.fixture
def predict(run):
    def call(*arguments):
        main(["--config-file", str(run / "config.yaml"), *map(str, arguments)])

    return call


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_detector_equals_the_evaluation(run):
    cfg = smoke_config(run)
    record = load_dicts("glyphs_smoke_val")[0]
    model = build_model(cfg).eval()
    Checkpointer(model).load_strictly(str(run / "model_final.pth"))
    with torch.no_grad():
        (expected,) = model([instantiate(cfg.dataloader.test.mapper)(record)])
    config = str(run / "config.yaml")
    image = np.asarray(Image.open(record["file_name"]).convert("RGB"))
    is_bgr = ["dataloader.test.mapper.image_format=BGR"]
    same = load_detector(config, score_threshold=0.0)(image)
    assert len(same) == len(expected["instances"]) > 0
    assert torch.equal(same.pred_boxes.tensor, expected["instances"].pred_boxes.tensor)
    other = load_detector(config, is_bgr, 0.0)(image[:, :, ::-1])
    assert torch.equal(same.scores, other.scores)


def test_detections_are_in_pixels_of_the_picture(run):
    resize = "{_target_: detectron2.data.transforms.Resize, shape: [96, 192]}"
    overrides = [f"dataloader.test.mapper.augmentations=[{resize}]"]
    found = load_detector(str(run / "config.yaml"), overrides, 0.0)(
        np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    )
    assert found.image_size == (48, 48)
    assert found.pred_boxes.tensor.max() <= 48


def test_confidence_threshold_leaves_unsure_detections_out(run):
    image = np.full((SIZE, SIZE, 3), 99, dtype=np.uint8)
    config = str(run / "config.yaml")
    everything = load_detector(config, score_threshold=0.0)(image).scores
    between = everything.mean().item()
    some = load_detector(config, score_threshold=between)(image).scores
    assert 0 < len(some) < len(everything) and some.min() >= between


def test_pictures_go_into_a_folder_enlarged_and_drawn_on(predict, pictures, tmp_path, capsys):
    predict("--input", *pictures, "--output", tmp_path / "drawn", "--confidence-threshold", 0)
    none = ["--output", tmp_path / "none.png", "--confidence-threshold", 1]
    predict("--input", pictures[0], *none, "--opts", "train.device=cpu")
    drawn = [pixels(tmp_path / "drawn" / file.name) for file in pictures]
    assert [one.shape for one in drawn] == [(480, 480, 3)] * 2
    assert abs(drawn[0] - pixels(tmp_path / "none.png")).mean() > 1
    printed = capsys.readouterr().out
    assert re.search(rf"{pictures[1]} -> {tmp_path / 'drawn' / pictures[1].name}: \d+ det", printed)
    assert printed.endswith("none.png: 0 detections\n")


def test_an_unreadable_picture_does_not_stop_the_others(run, pictures, tmp_path):
    (tmp_path / "1.jpg").write_text("no picture")
    png = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(png, "png")
    before, *chunks = png.getvalue().split(b"IDAT")
    assert len(chunks) > 1
    (tmp_path / "2.png").write_bytes(before + b"IDAT" + b"\0\0\0\0".join(chunks))
    arguments = ["--input", str(tmp_path), str(pictures[0]), "--output", str(tmp_path / "drawn")]
    with pytest.raises(SystemExit, match=r"2 of 3 pictures .* left out: .*1\.jpg, .*2\.png\."):
        main(["--config-file", str(run), *arguments])
    assert [file.name for file in (tmp_path / "drawn").iterdir()] == [pictures[0].name]


def test_inputs_are_not_overwritten(predict, pictures, tmp_path):
    picture = tmp_path / "a.jpg"
    picture.write_bytes(pictures[0].read_bytes())
    video = tmp_path / "a.mp4"
    write_video([np.zeros((64, 64, 3), dtype=np.uint8)], video, 5)
    (tmp_path / "link").symlink_to(tmp_path)
    before = picture.read_bytes(), video.read_bytes()
    for arguments in (
        ["--input", tmp_path, "--output", tmp_path / "link"],
        ["--input", picture, pictures[0], "--output", tmp_path],
        ["--input", picture, "--output", picture],
        ["--video-input", video, "--output", tmp_path],
    ):
        with pytest.raises(SystemExit, match=r"a\.\w+ is an input and would be overwritten"):
            predict(*arguments)
    assert (picture.read_bytes(), video.read_bytes()) == before


def test_a_video_without_a_frame_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"no frame of the video, so .*a\.mp4 is not written"):
        write_video([], tmp_path / "a.mp4", 5)


def test_video_keeps_length_size_and_speed(predict, tmp_path):
    source = tmp_path / "in.avi"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 5, (SIZE, 64))
    for gray in (0, 100, 200):
        writer.write(np.full((64, SIZE, 3), gray, dtype=np.uint8))
    writer.release()
    predict("--video-input", source, "--output", tmp_path, "--confidence-threshold", 1)
    video = cv2.VideoCapture(str(tmp_path / "in.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == 5
    frames = [video.read()[1] for _ in range(3)]
    assert not video.read()[0]
    assert [frame.shape for frame in frames] == [(64, SIZE, 3)] * 3
    assert [frame.mean() for frame in frames] == pytest.approx([0, 100, 200], abs=5)


def test_without_output_pictures_are_shown_until_escape(predict, pictures, monkeypatch):
    shown = []
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image.shape))
    monkeypatch.setattr(cv2, "waitKey", lambda milliseconds: 27 if len(shown) == 1 else 0)
    predict("--input", *pictures)
    assert shown == [(480, 480, 3)]


def test_files_folders_and_patterns_stand_for_pictures(tmp_path, monkeypatch):
    names = ("b.jpg", "a.PNG", "notes.txt", "c[1].jpg")
    b, a, notes, c = (tmp_path / name for name in names)
    for file in (b, a, notes, c):
        file.touch()
    assert find_images([str(tmp_path)]) == [a, b, c]
    assert find_images([str(b), f"{tmp_path}/*.jpg"]) == [b, c]
    assert find_images([str(c), str(notes)]) == [c, notes]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_images(["~/b*"]) == [b]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "no.jpg", "--output", "x"], r"--input 'no\.jpg' stands for no picture"),
        (["--input", "."], "there is no --output, and the installed OpenCV has no windows"),
        (["--video-input", "no.mp4", "--output", "x"], r"no\.mp4 does not exist, or OpenCV can't"),
        (["--input", "a.jpg", "a/a.jpg", "--output", "x"], r"a\.jpg and a/a\.jpg would both"),
        (
            ["--input", "a.jpg", "--output", "x", "train.init_checkpoint=no.pth"],
            r"checkpoint 'no\.pth' does not exist",
        ),
        (["--input", "a.jpg", "--output", "x", "train.devise=cpu"], "unknown config key"),
        (["--input", "a.jpg", "--output", "x", "train.device=gpu"], "train.device=gpu can't be"),
        (["--input", "a.jpg", "--output", "x"], r"1 of 1 pictures can't be read, .*: a\.jpg"),
        (["--input", "a.jpg", "--output", "x.mp4"], r"x\.mp4 can't hold .* in \.jpg, \.jpeg"),
        (["--input", "a.jpg", "a/b.jpg", "--output", "x.png"], r"x\.png .*; give a folder\.$"),
    ],
)
def test_bad_argument_ends_with_a_sentence(predict, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    for name in ("a.jpg", "a/a.jpg", "a/b.jpg"):
        (tmp_path / name).touch()
    if "windows" in message:
        monkeypatch.setattr(cv2, "namedWindow", _no_window)
        (tmp_path / "b.png").touch()
    with pytest.raises(SystemExit, match=message):
        predict(*arguments)


def _no_window(*_):
    raise cv2.error("not implemented")


def test_run_without_checkpoint_ends_with_a_sentence(run, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text((run / "config.yaml").read_text())
    (tmp_path / "a.jpg").touch()
    arguments = ["--config-file", str(config), "--input", str(tmp_path / "a.jpg"), "--output", "x"]
    with pytest.raises(SystemExit, match=r"has no checkpoint; .* pass train\.init_checkpoint=FILE"):
        main(arguments)
