"""Draw what a model finds in pictures, videos or a camera: ``python -m rankdet.tools.predict``.

The flags are those of Detectron2's demo.py; --opts before key=value may be left out. Without
--output, results are shown in a window, which needs an OpenCV that is not the headless one.
"""

import argparse
import glob
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import Visualizer
from PIL import Image
from tqdm import tqdm

from rankdet.engine.arguments import number
from rankdet.engine.trust import add_trust
from rankdet.tools.command_line import errors_as_sentences, split_overrides, tool_parser
from rankdet.tools.picture_detector import ByteArray, Detector, load_detector
from rankdet.tools.pictures import read_picture
from rankdet.tools.video import VIDEO_SUFFIXES, Video, ensure_windows, show, write_video

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_MIN_SIDE = 480  # pixels; smaller pictures are enlarged, so that the labels can be read
_MAX_SIDE = 4000  # pixels, to which a long and narrow picture is enlarged

logger = logging.getLogger(__name__)

_EXAMPLE = """
examples:
  python -m rankdet.tools.predict --config-file RUN/config.yaml --input a.jpg folder --output drawn
  python -m rankdet.tools.predict --config-file RUN/config.yaml --video-input a.mp4 --output b.mp4
  python -m rankdet.tools.predict --config-file glyphs/mask_rcnn_r18_fpn_ecm.py
    --input 'photos/*.png' --output drawn train.init_checkpoint=FILE.pth
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict. User errors exit with a one-line message."""
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments, overrides = split_overrides([one for one in arguments if one != "--opts"])
    options = _parser().parse_args(arguments)
    with errors_as_sentences():
        if options.output is None:
            ensure_windows()
        files = find_images(options.input) if options.input else []
        detector = load_detector(
            options.config_file, overrides, options.confidence_threshold, options.trust
        )
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
        path = Path(one).expanduser()
        if path.is_dir():
            files = [f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES]
        else:
            files = [path] if path.is_file() else [Path(f) for f in glob.glob(str(path))]
        if not files:
            raise FileNotFoundError(
                f"--input {one!r} stands for no picture; give files, folders or patterns."
            )
        found.update(dict.fromkeys(sorted(files)))
    return list(found)


def predict_images(detector: Detector, files: Sequence[Path], output: Path | None) -> None:
    """Draw the detections of each picture; one that can't be read does not stop the others.

    Args:
        detector: finds them.
        files: pictures.
        output: a folder, or for a single picture a file; None: show them, one after the other.

    Raises:
        ValueError: two pictures would be written into the same file, one would be overwritten, or,
            when the others are drawn, some can't be read.
        OSError: a file can't be written.
    """
    targets = {} if output is None else dict(zip(files, _targets(files, output), strict=True))
    unreadable: list[Path] = []
    drawn = _draw_files(detector, files, unreadable)
    if output is None:
        show((picture for _, picture, _ in drawn), milliseconds=0)
    else:
        for file, picture, number in drawn:
            Image.fromarray(picture).save(targets[file], quality=95)
            print(f"{file} -> {targets[file]}: {number} detection{'s' * (number != 1)}")
    if unreadable:
        raise ValueError(
            f"{len(unreadable)} of {len(files)} pictures can't be read, and are left out: "
            f"{', '.join(map(str, unreadable))}."
        )


def predict_video(detector: Detector, source: Path | int, output: Path | None) -> None:
    """Draw the detections of each frame; Ctrl-C ends it and keeps what is written.

    Args:
        detector: finds them.
        source: a file, or the number of a camera.
        output: a folder, or a file of ``VIDEO_SUFFIXES``; None: show the frames.

    Raises:
        ValueError: the video can't be read or written, or would be overwritten.
    """
    video = Video(source)
    frames = _draw_frames(detector, tqdm(video, total=video.num_frames, unit="frame"))
    name = source.stem if isinstance(source, Path) else "camera"
    try:
        if output is None:
            show(frames, milliseconds=1)
            return
        target = _target(output, VIDEO_SUFFIXES, f"{name}.mp4")
        _ensure_not_read([target], [source] if isinstance(source, Path) else [])
        write_video(frames, target, video.frames_per_second)
        print(f"{name} -> {target}")
    except KeyboardInterrupt:
        print(f"interrupted; the frames until now are in {output or 'no file'}.")


def _draw_files(
    detector: Detector, files: Iterable[Path], unreadable: list[Path]
) -> Iterator[tuple[Path, ByteArray, int]]:
    """Each file with its picture and the number of detections; others go to ``unreadable``."""
    for file in files:
        try:
            image = read_picture(file)
        except ValueError as error:
            logger.warning("%s", error)
            unreadable.append(file)
            continue
        found = detector(image)
        sides = image.shape[:2]
        scale = max(1.0, min(_MIN_SIDE / min(sides), _MAX_SIDE / max(sides)))
        visualizer = Visualizer(image, detector.metadata, scale=scale)
        yield file, visualizer.draw_instance_predictions(found).get_image(), len(found)


def _draw_frames(detector: Detector, frames: Iterable[ByteArray]) -> Iterator[ByteArray]:
    visualizer = VideoVisualizer(detector.metadata)
    for frame in frames:
        yield visualizer.draw_instance_predictions(frame, detector(frame)).get_image()


def _targets(files: Sequence[Path], output: Path) -> list[Path]:
    """Where each picture goes."""
    if len(files) == 1:
        targets = [_target(output, IMAGE_SUFFIXES, files[0].name)]
    else:
        _ensure_different_names(files, output)
        targets = [_target(output, (), file.name) for file in files]
    _ensure_not_read(targets, files)
    return targets


def _ensure_different_names(files: Iterable[Path], output: Path) -> None:
    names: dict[str, Path] = {}
    for file in files:
        if file.name in names:
            raise ValueError(
                f"{names[file.name]} and {file} would both become {output / file.name}; give them "
                "to two calls with different --output."
            )
        names[file.name] = file


def _ensure_not_read(targets: Iterable[Path], sources: Iterable[Path]) -> None:
    read = {source.resolve() for source in sources}
    for target in targets:
        if target.resolve() in read:
            raise ValueError(f"{target} is an input and would be overwritten; change --output.")


def _target(output: Path, suffixes: Sequence[str], name: str) -> Path:
    """``output`` itself if its suffix is one of ``suffixes``, else the file ``name`` in it."""
    suffix = output.suffix.lower()
    is_file = suffix in IMAGE_SUFFIXES + VIDEO_SUFFIXES and not output.is_dir()
    if is_file and suffix not in suffixes:
        kinds = f", or a file that ends in {', '.join(suffixes)}" if suffixes else ""
        raise ValueError(f"--output {output} can't hold the results; give a folder{kinds}.")
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
        "--config-file",
        metavar="FILE",
        required=True,
        help="a run, its config.yaml, or a config (file or name)",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", metavar="PATH", nargs="+", help="files, folders or patterns")
    source.add_argument("--video-input", metavar="FILE", type=Path, help="a video")
    source.add_argument("--webcam", action="store_true", help="the first camera")
    parser.add_argument(
        "--output",
        metavar="PATH",
        type=Path,
        help="folder, or file for one input; default: a window",
    )
    parser.add_argument(
        "--confidence-threshold",
        metavar="SCORE",
        type=number(0, 1),
        default=0.5,
        help="least score of what is drawn; default: %(default)s",
    )
    add_trust(parser)
    return parser


if __name__ == "__main__":
    main()
