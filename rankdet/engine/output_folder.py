"""The folder that a run writes to: that it can be written, and that it holds one run only."""

import difflib
import errno
import json
import logging
import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from detectron2.config import LazyConfig
from detectron2.utils import comm
from omegaconf import DictConfig

from rankdet.data.atomic_file import PARTIAL_SUFFIX, write_atomically
from rankdet.engine.checkpoint import last_checkpoint

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
RESULTS_FILE = "results.json"
CONFIG_FILE = "config.yaml"

_TRAINED = ("last_checkpoint", "model_*.pth", METRICS_FILE)
_WRITTEN = (
    *_TRAINED,
    *("non_finite.pth", "calibration_*.pth", RESULTS_FILE, CONFIG_FILE, "log.txt*"),
    *("events.out.tfevents.*", f"*{PARTIAL_SUFFIX}", "inference", "analysis", "pictures"),
)
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


class OutputFolderError(OSError):
    """Nothing can be written to the folder of a run; the message says why and what helps."""


def prepare_output_folder(
    folder: Path, *, resume: bool, overwrite: bool, weights: str = ""
) -> None:
    """Make the folder of a run ready, or say why it can't be used; call it on all ranks.

    Only the main process looks and writes; all ranks end with its error.

    Args:
        folder: ``train.output_dir``.
        resume: the run that the folder holds goes on.
        overwrite: what an earlier run left in the folder is deleted.
        weights: what an evaluation judges; empty: a training begins.

    Raises:
        ValueError: the folder holds another run, can't be made, or can't be written.
    """
    problem = ""
    if comm.is_main_process():
        try:
            ensure_writable(folder)
            if overwrite:
                delete_run(folder)
            elif resume:
                _delete_partial_files(folder)
            else:
                _ensure_no_other_run(folder, weights)
        except (OSError, ValueError) as error:
            problem = str(error)
    problem = comm.all_gather(problem)[0]
    if problem:
        raise ValueError(problem)


def ensure_writable(folder: Path) -> None:
    """Make a folder, and write a file into it.

    Raises:
        OutputFolderError: that fails.
    """
    probe = folder / f"writable{PARTIAL_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("It can be written.")
        probe.unlink()
    except OSError as error:
        raise OutputFolderError(
            f"train.output_dir={folder} can't be written ({_reason(error)}); make room or give "
            "another folder."
        ) from error


def _delete_partial_files(folder: Path) -> None:
    """Delete what a killed run was writing."""
    for path in folder.glob(f"*{PARTIAL_SUFFIX}"):
        path.unlink()


def delete_run(folder: Path) -> None:
    """Delete the files that a run writes, and no others."""
    for path in (found for pattern in _WRITTEN for found in folder.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def holds_run(folder: Path) -> bool:
    """Whether a training has begun in a folder."""
    return any(True for pattern in _TRAINED for _ in folder.glob(pattern))


def _ensure_no_other_run(folder: Path, weights: str) -> None:
    own_weights = bool(weights) and Path(weights).resolve().parent == folder.resolve()
    if own_weights or not holds_run(folder):
        return
    if weights:
        raise ValueError(
            f"train.output_dir={folder} holds a run, and {weights} is not of it: the evaluation "
            "would replace the results of that run; give another train.output_dir."
        )
    raise ValueError(
        f"train.output_dir={folder} holds a run; go on with it by --resume, give another "
        "train.output_dir, or delete what it has written by --overwrite."
    )


@contextmanager
def claimed_output_folder(cfg: DictConfig, args: Namespace) -> Iterator[None]:
    """Context of ``default_setup``, which writes the config and opens the log of a run.

    Before it, see :func:`prepare_output_folder`. Afterwards an evaluation in the folder of a
    training gives it its config back, and a resumed run logs what differs from its config.

    Args:
        cfg: experiment.
        args: command line, see :func:`rankdet.engine.arguments.parse_arguments`.

    Raises:
        ValueError: see :func:`prepare_output_folder`.
    """
    folder = Path(cfg.train.output_dir)
    weights = cfg.train.init_checkpoint if args.eval_only else ""
    prepare_output_folder(folder, resume=args.resume, overwrite=args.overwrite, weights=weights)
    changes = changed_settings(cfg, folder / CONFIG_FILE) if args.resume else []
    with kept_config(folder) if args.eval_only else nullcontext():
        yield
    if changes and not args.eval_only:
        logger.warning("The run goes on with other settings:\n%s", "\n".join(changes[:20]))


@contextmanager
def kept_config(folder: Path) -> Iterator[None]:
    """Give a folder back the config of its training after the block, which may overwrite it."""
    path = folder / CONFIG_FILE
    is_kept = comm.is_main_process() and holds_run(folder) and path.is_file()
    content = path.read_text() if is_kept else ""
    yield
    if is_kept:
        write_atomically(path, content)


def changed_settings(cfg: DictConfig, saved: Path) -> list[str]:
    """What differs, except the folder, between a config and the one that a run has saved.

    Args:
        cfg: of what is to come.
        saved: ``config.yaml`` of what has been.

    Returns:
        Lines of YAML, with "-" before what was and "+" before what will be; empty: nothing, or
        there is no such file.
    """
    if not saved.is_file():
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, CONFIG_FILE)
        LazyConfig.save(cfg, str(path))
        diff = difflib.unified_diff(_settings(saved), _settings(path), n=0, lineterm="")
    changes = [line for line in diff if line[0] in "+-"]
    return changes[2:]  # The first two lines of a diff name its files.


def _settings(path: Path) -> list[str]:
    """Lines of a config without the folder: the same can be spelled in several ways."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if not line.startswith("  output_dir:")]


def drop_later_metrics(folder: Path, start_iter: int) -> None:
    """Leave out of ``metrics.json`` the iterations that are done again, and damaged lines.

    Args:
        folder: of the run.
        start_iter: iteration that the run goes on with.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        return
    lines = path.read_text(errors="replace").splitlines()
    kept = [line for line in lines if 0 <= _iteration(line) < start_iter]
    if len(kept) < len(lines):
        write_atomically(path, "".join(f"{line}\n" for line in kept))


def _iteration(line: str) -> int:
    """Iteration of a line of ``metrics.json``; -1: it has none, as its writer was killed."""
    try:
        return int(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return -1


def ensure_space(folder: Path, num_bytes: int) -> None:
    """Check that a checkpoint fits on the disk.

    Args:
        folder: of the run.
        num_bytes: least size of a checkpoint.

    Raises:
        OutputFolderError: it does not.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise OutputFolderError(
            f"train.output_dir={folder} has room for {free / 1e6:.0f} MB, but a checkpoint takes "
            f"{num_bytes / 1e6:.0f} MB or more; make room or give another folder."
        )


@contextmanager
def explained_writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write in the block, for instance on a full disk, into one sentence.

    Args:
        folder: of the run.

    Raises:
        OutputFolderError: something could not be written.
    """
    try:
        yield
    except OSError as error:
        is_inside = str(error.filename or "").startswith(f"{folder}{os.sep}")
        if not is_write_error(error) and not is_inside:
            raise
        last = last_checkpoint(str(folder))
        remedy = f"go on from {last} with --resume" if last else "start again"
        raise OutputFolderError(
            f"train.output_dir={folder} can't be written any more ({_reason(error)}); make room, "
            f"and {remedy}."
        ) from error


def is_write_error(error: BaseException) -> bool:
    """Whether a disk is full, read-only or broken."""
    return isinstance(error, OSError) and error.errno in _WRITE_ERRORS


def _reason(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or type(error).__name__}{where}"
