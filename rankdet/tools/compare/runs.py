"""The runs of a comparison: one for each config and seed, in a folder of its own."""

import difflib
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import LazyConfig
from omegaconf import DictConfig

from rankdet.engine.checkpoint import last_checkpoint
from rankdet.engine.config import load_config

TRAIN_NET = Path(__file__).parents[3] / "train_net.py"
_OWN_KEYS = {"train.seed": "--seeds", "train.output_dir": "--output"}
_TAIL = 1 << 16  # bytes, more than the longest line of metrics.json


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        config_file: what it trains.
        overrides: ``key=value`` of the whole comparison.
        seed: of it.
        folder: its ``train.output_dir``.
        max_iter: iterations of the whole training.
        device: ``train.device``.
        trust: modules whose code a ``config.yaml`` may name.
    """

    config_file: Path
    overrides: tuple[str, ...]
    seed: int
    folder: Path
    max_iter: int
    device: str
    trust: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """Name of the config."""
        return self.config_file.stem

    @property
    def name(self) -> str:
        """Config and seed."""
        return f"{self.method} seed {self.seed}"

    @property
    def results_file(self) -> Path:
        """What the evaluation leaves."""
        return self.folder / "results.json"

    def command(self) -> list[str]:
        """Command line that starts the training, or goes on with it after an interruption."""
        is_started = last_checkpoint(str(self.folder)) is not None
        own = _own_overrides(self.seed, self.folder)
        return [
            *(sys.executable, str(TRAIN_NET), "--config-file", str(self.config_file)),
            *(["--resume"] if is_started else []),
            *(f"--trust={module}" for module in self.trust),
            *(*self.overrides, *own),
        ]

    def num_iterations(self) -> int:
        """What ``metrics.json`` knows of; it reaches ``max_iter`` with the last evaluation."""
        path = self.folder / "metrics.json"
        if not path.is_file():
            return 0
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            numbers = re.findall(rb'"iteration": (\d+)[,}]', file.read())
        return int(numbers[-1]) if numbers else 0

    def is_finished(self) -> bool:
        """Whether training and evaluation are done; evaluations on the way do not count."""
        return self.results_file.is_file() and self.num_iterations() >= self.max_iter


def plan_runs(
    config_files: Sequence[Path],
    seeds: Sequence[int],
    output: Path,
    overrides: Sequence[str] = (),
    trust: Sequence[str] = (),
) -> list[Run]:
    """List the runs, by config and seed, into ``output/CONFIG/seedS``.

    Args:
        config_files: experiments; their file names become the names of the methods.
        seeds: not negative.
        output: folder of the comparison.
        overrides: ``key=value`` for all of them.
        trust: modules whose code a ``config.yaml`` may name.

    Raises:
        FileNotFoundError: a config, or ``train_net.py``, does not exist.
        ValueError: two configs have the same name, a seed is negative or given twice, an override
            is wrong or sets what the comparison sets itself, or a folder holds a run of another
            config.
    """
    _check_arguments(config_files, seeds, overrides)
    runs = []
    for config_file in config_files:
        for seed in seeds:
            folder = output / config_file.stem / f"seed{seed}"
            own = _own_overrides(seed, folder)
            cfg = load_config(str(config_file), [*overrides, *own], trust)
            _check_same_config(cfg, folder / "config.yaml")
            length, device = cfg.train.max_iter, str(cfg.train.device)
            what = config_file, tuple(overrides), seed, folder
            runs.append(Run(*what, length, device, tuple(trust)))
    return runs


def _own_overrides(seed: int, folder: Path) -> tuple[str, str]:
    quoted = str(folder).replace("'", "\\'")
    return f"train.seed={seed}", f"train.output_dir='{quoted}'"


def _check_arguments(
    config_files: Sequence[Path], seeds: Sequence[int], overrides: Iterable[str]
) -> None:
    if not TRAIN_NET.is_file():
        raise FileNotFoundError(
            f"{TRAIN_NET} does not exist; comparisons need a checkout: pip install --editable ."
        )
    names = [file.stem for file in config_files]
    if len(set(names)) < len(names):
        raise ValueError(f"--configs has two files of one name, {', '.join(names)}; rename one.")
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"--seeds is {list(seeds)}; give different numbers from 0 on.")
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key in _OWN_KEYS:
            raise ValueError(f"{override!r}: a comparison sets {key} itself; use {_OWN_KEYS[key]}.")


def _check_same_config(cfg: DictConfig, saved: Path) -> None:
    """Raise ValueError if the run that left ``saved`` was of another config."""
    if not saved.is_file():
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        LazyConfig.save(cfg, str(path))
        diff = difflib.unified_diff(_settings(saved), _settings(path), n=0, lineterm="")
    changes = [line for line in diff if line[0] in "+-"]
    if changes:
        shown = "\n".join(changes[2:12])  # Behind the two lines of a diff that name its files.
        raise ValueError(
            f"{saved.parent} holds a run of another config; choose another --output, or delete "
            f"that folder. What was (-) and what would be (+):\n{shown}"
        )


def _settings(path: Path) -> list[str]:
    """Lines of a config, but for the folder: the same can be spelled in several ways."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if not line.startswith("  output_dir:")]
