"""Checks of what a user asks an evaluator for; each problem is one sentence."""

from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryFile


def check_limit(name: str, limit: int | None, *, may_be_none: bool = False) -> None:
    """Check a limit on the number of detections.

    Args:
        name: of the argument, for the message.
        limit: its value.
        may_be_none: whether None is allowed, which means no limit.

    Raises:
        ValueError: it is no integer, or less than 1.
    """
    if limit is None and may_be_none:
        return
    if not isinstance(limit, int) or limit < 1:
        or_none = ", or None" if may_be_none else ""
        raise ValueError(f"{name} is {limit!r}; give an integer of at least 1{or_none}.")


def check_choices(name: str, chosen: Sequence[str], known: Collection[str]) -> None:
    """Check a list of names that an argument takes.

    Args:
        name: of the argument, for the message.
        chosen: its value.
        known: all that exist.

    Raises:
        ValueError: it is no list, empty, or has another name in it.
    """
    if isinstance(chosen, str) or not chosen or not set(chosen) <= set(known):
        raise ValueError(f"{name} is {chosen!r}; give a list of some of {_listed(known)}.")


def check_metrics(
    metrics: Sequence[str],
    known: Collection[str],
    tasks: Sequence[str] | None,
    max_dets_per_class: int | None,
) -> None:
    """Check that the metrics exist, and that nothing is asked for which only "ap" gives.

    Args:
        metrics: value of the argument.
        known: all metrics.
        tasks: value of the argument; None: the evaluator chooses.
        max_dets_per_class: value of the argument; None: no Fixed AP.

    Raises:
        ValueError: a metric does not exist, or "ap" is missing.
    """
    check_choices("metrics", metrics, known)
    needs_ap = ""
    if tasks is not None and "boundary" in tasks:
        needs_ap = f"tasks is {tasks!r}, of which 'boundary' has AP only"
    elif max_dets_per_class is not None:
        needs_ap = f"max_dets_per_class is {max_dets_per_class}, which is for Fixed AP"
    if needs_ap and "ap" not in metrics:
        raise ValueError(
            f"{needs_ap}, but metrics is {metrics!r}; add 'ap' to it, or drop the other."
        )


def check_dataset_name(dataset_name: str | Sequence[str]) -> str:
    """The one data set that an evaluator is for.

    Args:
        dataset_name: its name, or a list of one, as configs of Detectron2 write it.

    Raises:
        ValueError: there are none or several, or it is no name.
    """
    names = [dataset_name] if isinstance(dataset_name, str) else dataset_name
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"dataset_name is {dataset_name!r}; give the name of a data set.")
    if len(names) != 1:
        raise ValueError(
            f"dataset_name is {list(names)!r}; an evaluator scores one data set: evaluate each of "
            "them by itself, with dataloader.test.dataset.names and the evaluator's name changed."
        )
    return names[0]


def check_output_folder(folder: Path) -> None:
    """Make a folder, and check that files can be written to it.

    Args:
        folder: value of the argument ``output_dir``.

    Raises:
        OSError: they can't.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"output_dir is {str(folder)!r}, where nothing can be written ({error}); give another."
        ) from error


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names))
