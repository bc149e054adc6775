"""Frames of videos and cameras, read, written and shown with OpenCV."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

ByteArray = npt.NDArray[np.uint8]

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov")
_WINDOW = "rankdet"
_ESCAPE = 27


class Video:
    """The frames of a file or a camera, once.

    Args:
        source: a file, or the number of a camera.

    Attributes:
        frames_per_second: 30 where the source does not say.
        num_frames: None for a camera, and where the file does not say.

    Raises:
        ValueError: OpenCV can't read it.
    """

    def __init__(self, source: Path | int) -> None:
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        if not self._capture.isOpened():
            name = f"camera {source}" if isinstance(source, int) else source
            raise ValueError(f"{name} does not exist, or OpenCV can't read it; give another.")
        self.frames_per_second: float = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        num_frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.num_frames = num_frames if num_frames > 0 else None

    def __iter__(self) -> Iterator[ByteArray]:
        """Give frames, ``(H, W, 3)``, RGB."""
        try:
            while True:
                is_read, frame = self._capture.read()
                if not is_read:
                    return
                yield np.ascontiguousarray(frame[:, :, ::-1], dtype=np.uint8)
        finally:
            self._capture.release()


def write_video(frames: Iterable[ByteArray], path: Path, frames_per_second: float) -> None:
    """Write frames as MPEG-4; an interrupted video keeps the frames written so far.

    Args:
        frames: ``(H, W, 3)``, RGB, all of one size.
        path: one of ``VIDEO_SUFFIXES``.
        frames_per_second: of the video.

    Raises:
        ValueError: OpenCV can't write there, or there is no frame.
    """
    writer = None
    try:
        for frame in frames:
            writer = writer or _open_writer(path, frames_per_second, frame)
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        if writer is not None:
            writer.release()
    if writer is None:
        raise ValueError(f"OpenCV reads no frame of the video, so {path} is not written.")


def ensure_windows() -> None:
    """Raise ValueError if OpenCV can't show anything."""
    try:
        cv2.namedWindow(_WINDOW, cv2.WINDOW_NORMAL)
    except cv2.error as error:
        raise ValueError(
            "there is no --output, and the installed OpenCV has no windows; add --output PATH."
        ) from error


def show(frames: Iterable[ByteArray], milliseconds: int) -> None:
    """Show frames until the last one, or until the user presses Escape.

    Args:
        frames: ``(H, W, 3)``, RGB.
        milliseconds: for which each is shown at least; 0: until a key is pressed.
    """
    for frame in frames:
        cv2.imshow(_WINDOW, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(milliseconds) == _ESCAPE:
            break
    cv2.destroyAllWindows()


def _open_writer(path: Path, frames_per_second: float, frame: ByteArray) -> cv2.VideoWriter:
    height, width = frame.shape[:2]
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), codec, frames_per_second, (width, height))
    if not writer.isOpened():
        raise ValueError(f"OpenCV can't write {path}; use one of {', '.join(VIDEO_SUFFIXES)}.")
    return writer
