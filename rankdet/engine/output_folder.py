"""The folder that a run writes to. It must be writable and hold one run only."""

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
        resume: continue the run that the folder holds.
        overwrite: delete the files of an earlier run.
        evaluates: evaluate weights, without a training.
        weights: to evaluate or to start from; empty: none.

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
    """Delete the files that a killed run has not finished."""
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
    """Context for ``default_setup``, which writes the config and opens the log of a run.

    Before the block it calls :func:`prepare_output_folder`. After the block, an evaluation restores
    the config of the training in the same folder, and a resumed run logs its changed settings.

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
    """Restore the config of a folder's training after the block, which may overwrite it."""
    path = folder / CONFIG_FILE
    is_kept = comm.is_main_process() and holds_run(folder) and path.is_file()
    content = path.read_text() if is_kept else ""
    yield
    if is_kept:
        write_atomically(path, content)


def changed_settings(cfg: DictConfig, saved: Path) -> list[str]:
    """Compare a config with the one that a run has saved; the folder does not count.

    Args:
        cfg: new config.
        saved: ``config.yaml`` of the run.

    Returns:
        Lines of YAML: "-" marks the saved values, "+" the new ones. Empty if nothing differs or
        the file is missing.
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
    """Lines of a config without the folder, which can be spelled in several ways."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if not line.startswith("  output_dir:")]


def drop_later_metrics(folder: Path, start_iter: int) -> None:
    """Remove damaged lines, and iterations that will be repeated, from ``metrics.json``.

    Args:
        folder: of the run.
        start_iter: first iteration of the resumed run.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        return
    lines = path.read_text(errors="replace").splitlines()
    kept = [line for line in lines if 0 <= _iteration(line) < start_iter]
    if len(kept) < len(lines):
        write_atomically(path, "".join(f"{line}\n" for line in kept))


def _iteration(line: str) -> int:
    """Iteration of a line of ``metrics.json``; -1 for a line that a kill has cut off."""
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
        ValueError: there is no room for it.
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
