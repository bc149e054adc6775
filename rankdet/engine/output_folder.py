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
from rankdet.engine.checks import on_main_process

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
RESULTS_FILE = "results.json"
CONFIG_FILE = "config.yaml"

_CHECKPOINTS = ("model_final.pth", f"model_{'[0-9]' * 7}.pth")
_TRAINED = ("last_checkpoint", *_CHECKPOINTS, METRICS_FILE)
_WRITTEN = (
    *_TRAINED,
    *("non_finite.pth", "calibration_*.pth", RESULTS_FILE, CONFIG_FILE, "log.txt*"),
    *("events.out.tfevents.*", f"*{PARTIAL_SUFFIX}", "inference", "analysis", "pictures"),
)
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


def prepare_output_folder(
    folder: Path, *, resume: bool, overwrite: bool, evaluates: bool = False, weights: str = ""
) -> None:
    """Make the folder of a run ready, or say why it can't be used; call it on all ranks.

    Only the main process looks and writes; all ranks end with its error.

    Args:
        folder: ``train.output_dir``.
        resume: the run that the folder holds goes on.
        overwrite: what an earlier run left in the folder is deleted.
        evaluates: weights are judged, and nothing is trained.
        weights: to judge or to start from; empty: none.

    Raises:
        ValueError: the folder holds another run, can't be made, or can't be written; or the weights
            would be deleted.
    """

    def prepare() -> None:
        ensure_writable(folder)
        are_own = bool(weights) and Path(weights).resolve().parent == folder.resolve()
        if overwrite:
            _overwrite(folder, weights if are_own else "")
        elif resume:
            _delete_partial_files(folder)
        elif holds_run(folder) and not (evaluates and are_own):
            raise ValueError(_refusal(folder, weights if evaluates else ""))

    on_main_process(prepare)


def ensure_writable(folder: Path) -> None:
    """Make a folder, and write a file into it.

    Raises:
        ValueError: that fails.
    """
    probe = folder / f"writable{PARTIAL_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("It can be written.")
        probe.unlink()
    except OSError as error:
        raise ValueError(
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


def _overwrite(folder: Path, own_weights: str) -> None:
    if own_weights:
        raise ValueError(
            f"--overwrite would delete train.init_checkpoint={own_weights}, to start from; give "
            "another train.output_dir."
        )
    delete_run(folder)


def _refusal(folder: Path, judged_weights: str) -> str:
    if judged_weights:
        return (
            f"train.output_dir={folder} holds a run, and {judged_weights} is not of it: the "
            "evaluation would replace the results of that run; give another train.output_dir."
        )
    return (
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
    prepare_output_folder(
        folder,
        resume=args.resume,
        overwrite=args.overwrite,
        evaluates=args.eval_only,
        weights=cfg.train.init_checkpoint,
    )
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
    """Check that a checkpoint fits on the disk; makes the folder if it is missing.

    Args:
        folder: of the run.
        num_bytes: least size of a checkpoint.

    Raises:
        ValueError: it does not.
    """
    ensure_writable(folder)
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise ValueError(
            f"train.output_dir={folder} has room for {free / 1e6:.0f} MB, but a checkpoint takes "
            f"{num_bytes / 1e6:.0f} MB or more; make room or give another folder."
        )


@contextmanager
def explained_writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write in the block, for instance on a full disk, into one sentence.

    Args:
        folder: of the run.

    Raises:
        ValueError: something could not be written.
    """
    try:
        yield
    except OSError as error:
        is_inside = str(error.filename or "").startswith(f"{folder}{os.sep}")
        if not is_write_error(error) and not is_inside:
            raise
        last = last_checkpoint(str(folder))
        remedy = f"go on from {last} with --resume" if last else "start again"
        raise ValueError(
            f"train.output_dir={folder} can't be written any more ({_reason(error)}); make room, "
            f"and {remedy}."
        ) from error


def is_write_error(error: BaseException) -> bool:
    """Whether a disk is full, read-only or broken."""
    return isinstance(error, OSError) and error.errno in _WRITE_ERRORS


def _reason(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or type(error).__name__}{where}"
