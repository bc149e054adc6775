"""What a run has left in its folder: config, results, curves, and where the rest lies."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rankdet.engine.config import load_config
from rankdet.engine.provenance import LOG_PREFIX
from rankdet.engine.training import dataset_names
from rankdet.evaluation.detection_table import DetectionTable
from rankdet.evaluation.rankdet_evaluation import COCO_RESULTS, LVIS_RESULTS
from rankdet.tools.run_folder import find_config, read_metrics, read_results

Curve = dict[int, float]
"""Iteration to value."""

RESULT_FILES = (LVIS_RESULTS, COCO_RESULTS)

# What reading detections raises, depending on what else the file holds.
_DAMAGES = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
_OF_THE_RUN_ALONE = ("seed", "output_dir")  # of the section `train`
_PROVENANCE: dict[str, Any] = {
    "version": str,
    "commit": str | None,
    "has_local_changes": bool | None,
    "cpu": str,
    "num_cpus": int,
    "num_threads": int,
    "num_processes": int,
}
_LOGGED_VERSIONS = ("Python", "PyTorch", "torchvision", "numpy", "detectron2")


@dataclass(frozen=True)
class ReportedRun:
    """The folder of a run.

    Attributes:
        folder: its ``train.output_dir``, wherever it lies now.
        config: as saved.
        results: task to metric to value; None: undefined.
    """

    folder: Path
    config: DictConfig
    results: dict[str, dict[str, float | None]]

    @property
    def seed(self) -> int:
        """``train.seed``; -1, as in Detectron2, if it is not set."""
        seed = self.config.train.get("seed")
        return seed if isinstance(seed, int) else -1

    @property
    def dataset(self) -> str:
        """The data set that it was tested on, the first of several."""
        return dataset_names(self.config, "test")[0]

    @property
    def datasets(self) -> list[str]:
        """The data set that it was tested on, and those that it was trained on."""
        return [self.dataset, *dataset_names(self.config, "train")]

    @cached_property
    def options(self) -> dict[str, Any]:
        """Dotted key of the config to value, without what tells runs of one method apart."""
        content: dict[str, Any] = OmegaConf.to_container(  # type: ignore[assignment]
            self.config, resolve=False
        )
        train = content["train"].items()
        content["train"] = {key: value for key, value in train if key not in _OF_THE_RUN_ALONE}
        return dict(_flatten(content, ""))

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """What metrics.json holds by name; after a resume, what was repeated replaces the first."""
        curves: dict[str, Curve] = {}
        for record in read_metrics(self.folder):
            iteration = record.pop("iteration")
            for name, value in record.items():
                curves.setdefault(name, {})[iteration] = value
        return {name: dict(sorted(curve.items())) for name, curve in curves.items()}

    @cached_property
    def log(self) -> str:
        """The log of rank 0; empty if there is none."""
        path = self.folder / "log.txt"
        return path.read_text(errors="replace") if path.is_file() else ""

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What the latest start has logged, see :mod:`rankdet.engine.provenance`; or empty."""
        found = re.findall(re.escape(LOG_PREFIX) + r"(\{.*\})", self.log)
        return _parse_provenance(found[-1]) if found else {}

    @cached_property
    def versions(self) -> dict[str, str]:
        """Package to version, from Detectron2's table in the log."""
        found = {name: _table_cell(self.log, name) for name in _LOGGED_VERSIONS}
        return {name: cell.split()[0] for name, cell in found.items() if cell}

    @property
    def device(self) -> str:
        """GPUs by Detectron2's table in the log, or else the processor."""
        if str(self.config.train.device).startswith("cuda"):
            gpus = re.findall(r"^GPU ([\d,]+) +(.+?)(?: \(arch.*)?$", self.log, re.MULTILINE)
            # A row for each kind of GPU; the log of a resumed run has the rows several times.
            kinds = [f"{len(ids.split(','))} x {name}" for ids, name in dict(gpus).items()]
            return ", ".join(kinds) or "CUDA"
        return str(self.provenance.get("cpu", "CPU"))

    @property
    def predictions(self) -> Path | None:
        """The file of all detections, the newest one; None: there is none."""
        paths = [self.folder / "inference" / name for name in RESULT_FILES]
        written = [path for path in paths if path.is_file()]
        return max(written, key=lambda path: path.stat().st_mtime, default=None)

    def read_predictions(self) -> DetectionTable:
        """All detections, in little memory where the file has one on each line.

        Raises:
            FileNotFoundError: the evaluation did not write them.
            ValueError: the file is damaged.
        """
        if self.predictions is None:
            raise FileNotFoundError(
                f"{self.folder}/inference has none of {', '.join(RESULT_FILES)}; evaluate with "
                "an evaluator whose output_dir is set."
            )
        try:
            return _read_detections(self.predictions)
        except _DAMAGES as error:
            raise ValueError(
                f"{self.predictions} is no list of detections, or damaged ({error}); evaluate "
                "again with `rankdet eval`."
            ) from error


def read_run(folder: Path, trust: Sequence[str] = ()) -> ReportedRun:
    """Read the config and the results of a run.

    Args:
        folder: its ``train.output_dir``; it may have been moved.
        trust: modules whose code its config may name.

    Raises:
        FileNotFoundError: it is not the folder of a run.
        ValueError: its config or its results are damaged.
    """
    file = find_config(folder)
    config = load_config(str(file), trust=trust)
    return ReportedRun(folder, config, read_results(folder))


def _parse_provenance(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        datetime.fromisoformat(found["started"])
        is_whole = all(isinstance(found[name], kind) for name, kind in _PROVENANCE.items())
    except (ValueError, TypeError, KeyError, RecursionError):
        is_whole = False
    return dict(found) if is_whole else {}


def _read_detections(path: Path) -> DetectionTable:
    """Read what :meth:`DetectionTable.write` has written, or any other COCO result file."""
    table = DetectionTable()
    with path.open(encoding="utf-8") as file:
        is_by_line = file.read(3) == "[\n{"
        file.seek(0)
        if is_by_line:
            line = ""
            for line in file:
                if line.startswith("{"):
                    table.add([json.loads(line.rstrip(",\n"))])
            if line.strip() != "]":
                raise ValueError("its end is missing")
        else:
            table.add(json.load(file))
    return table


def _table_cell(log: str, name: str) -> str:
    """The last value of a row of Detectron2's table of the environment."""
    found = re.findall(rf"^{re.escape(name)} {{2,}}(.+)$", log, re.MULTILINE)
    return found[-1] if found else ""


def _flatten(node: Any, prefix: str) -> list[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        items = [(f"{prefix}.{key}" if prefix else str(key), value) for key, value in node.items()]
    elif isinstance(node, list) and any(isinstance(value, dict | list) for value in node):
        items = [(f"{prefix}.{index}", value) for index, value in enumerate(node)]
    else:
        return [(prefix, _plain(node))]
    return [pair for key, value in items for pair in _flatten(value, key)]


def _plain(value: Any) -> str:
    """Text that is equal in two loads of a config, objects and classes too."""
    return value.__qualname__ if isinstance(value, type) else str(value)
