"""Draw what a model finds in pictures, videos or a camera: ``python -m rankdet.tools.predict``.

The flags are those of Detectron2's demo.py; --opts before key=value may be left out. Without
--output, results are shown in a window, which needs an OpenCV that is not the headless one.
"""

import argparse
import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from detectron2.data.detection_utils import read_image
from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import Visualizer
from PIL import Image
from tqdm import tqdm

from rankdet.tools.command_line import errors_as_sentences, split_overrides, tool_parser
from rankdet.tools.detector import ByteArray, Detector, load_detector
from rankdet.tools.video import VIDEO_SUFFIXES, Video, ensure_windows, show, write_video

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_MIN_SIDE = 480  # pixels; smaller pictures are enlarged, so that the labels can be read

_EXAMPLE = """
examples:
  python -m rankdet.tools.predict --config-file RUN/config.yaml --input a.jpg folder --output drawn
  python -m rankdet.tools.predict --config-file RUN/config.yaml --video-input a.mp4 --output b.mp4
  python -m rankdet.tools.predict --config-file configs/glyphs/mask_rcnn_r18_fpn_ecm.py
    --input 'photos/*.png' --output drawn train.init_checkpoint=FILE.pth
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict; what a user can do wrong ends it with one sentence."""
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments, overrides = split_overrides([one for one in arguments if one != "--opts"])
    options = _parser().parse_args(arguments)
    with errors_as_sentences():
        if options.output is None:
            ensure_windows()
        files = find_images(options.input) if options.input else []
        detector = load_detector(options.config_file, overrides, options.confidence_threshold)
        if files:
            predict_images(detector, files, options.output)
        else:
            predict_video(detector, options.video_input or 0, options.output)


def find_images(inputs: Iterable[str]) -> list[Path]:
    """List the pictures that files, folders and patterns stand for.

    Args:
        inputs: each a file of any suffix, a folder (its files of ``IMAGE_SUFFIXES``) or a glob.

    Returns:
        The files, each once, sorted within each input.

    Raises:
        FileNotFoundError: an input stands for no picture.
    """
    found: dict[Path, None] = {}
    for one in inputs:
        if Path(one).is_dir():
            files = [f for f in Path(one).iterdir() if f.suffix.lower() in IMAGE_SUFFIXES]
        else:
            files = [Path(one)] if Path(one).is_file() else [Path(f) for f in glob.glob(one)]
        if not files:
            raise FileNotFoundError(
                f"--input {one!r} stands for no picture; give files, folders or patterns."
            )
        found.update(dict.fromkeys(sorted(files)))
    return list(found)


def predict_images(detector: Detector, files: Sequence[Path], output: Path | None) -> None:
    """Draw the detections of each picture.

    Args:
        detector: finds them.
        files: pictures.
        output: a folder, or for a single picture a file; None: show them, one after the other.

    Raises:
        ValueError: two pictures would be written into the same file.
        OSError: a file is no picture, or can't be written.
    """
    if output is None:
        show((_draw(detector, file) for file in files), milliseconds=0)
        return
    for file, target in zip(files, _targets(files, output), strict=True):
        Image.fromarray(_draw(detector, file)).save(target, quality=95)
        print(f"{file} -> {target}")


def predict_video(detector: Detector, source: Path | int, output: Path | None) -> None:
    """Draw the detections of each frame; Ctrl-C ends it and keeps what is written.

    Args:
        detector: finds them.
        source: a file, or the number of a camera.
        output: a folder, or a file of ``VIDEO_SUFFIXES``; None: show the frames.

    Raises:
        ValueError: the video can't be read or written.
    """
    video = Video(source)
    frames = _draw_frames(detector, tqdm(video, total=video.num_frames, unit="frame"))
    try:
        if output is None:
            show(frames, milliseconds=1)
            return
        name = "camera" if isinstance(source, int) else source.stem
        target = _target(output, VIDEO_SUFFIXES, f"{name}.mp4")
        write_video(frames, target, video.frames_per_second)
        print(f"{name} -> {target}")
    except KeyboardInterrupt:
        print(f"interrupted; the frames until now are in {output or 'no file'}.")


def _draw(detector: Detector, file: Path) -> ByteArray:
    image = read_image(str(file), "RGB")
    scale = max(1.0, _MIN_SIDE / min(image.shape[:2]))
    visualizer = Visualizer(image, detector.metadata, scale=scale)
    return visualizer.draw_instance_predictions(detector(image)).get_image()


def _draw_frames(detector: Detector, frames: Iterable[ByteArray]) -> Iterator[ByteArray]:
    visualizer = VideoVisualizer(detector.metadata)
    for frame in frames:
        yield visualizer.draw_instance_predictions(frame, detector(frame)).get_image()


def _targets(files: Sequence[Path], output: Path) -> list[Path]:
    """Where each picture goes."""
    if len(files) == 1:
        return [_target(output, IMAGE_SUFFIXES, files[0].name)]
    output.mkdir(parents=True, exist_ok=True)
    names: dict[str, Path] = {}
    for file in files:
        if file.name in names:
            raise ValueError(
                f"{names[file.name]} and {file} would both become {output / file.name}; give them "
                "to two calls with different --output."
            )
        names[file.name] = file
    return [output / name for name in names]


def _target(output: Path, suffixes: Sequence[str], name: str) -> Path:
    """``output`` itself if its suffix is that of a file, else the file ``name`` in it."""
    is_file = output.suffix.lower() in suffixes and not output.is_dir()
    target = output if is_file else output / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _parser() -> argparse.ArgumentParser:
    parser = tool_parser(
        "predict",
        __doc__,
        _EXAMPLE,
        usage="--config-file FILE (--input PATH [PATH ...] | --video-input FILE | "
        "--webcam) [--output PATH] [--confidence-threshold SCORE] [key=value ...]",
    )
    parser.add_argument(
        "--config-file", metavar="FILE", required=True, help="config.yaml of a run, or a config"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", metavar="PATH", nargs="+", help="files, folders or patterns")
    source.add_argument("--video-input", metavar="FILE", type=Path, help="a video")
    source.add_argument("--webcam", action="store_true", help="the first camera")
    parser.add_argument(
        "--output", metavar="PATH", type=Path, help="folder or file; default: a window"
    )
    parser.add_argument(
        "--confidence-threshold",
        metavar="SCORE",
        type=float,
        default=0.5,
        help="least score of what is drawn; default: %(default)s",
    )
    return parser


if __name__ == "__main__":
    main()
