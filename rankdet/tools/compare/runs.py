"""The runs of a comparison: one for each config and seed, in a folder of its own."""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from rankdet.engine.config import load_config
from rankdet.engine.output_folder import changed_settings, holds_run
from rankdet.tools.json_file import read_json

TRAIN = (sys.executable, "-m", "rankdet", "train")
_OWN_KEYS = {"train.seed": "--seeds", "train.output_dir": "--output"}
_TAIL = 1 << 16  # bytes, more than the longest line of metrics.json


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        config_file: what it trains: a file, or the name of one of rankdet's configs.
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
        own = _own_overrides(self.seed, self.folder)
        return [
            *(*TRAIN, "--config-file", str(self.config_file)),
            *(["--resume"] if holds_run(self.folder) else []),
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
        # What was measured in an earlier iteration than the rest has a line of its own, maybe last.
        return max(map(int, numbers), default=0)

    def is_finished(self) -> bool:
        """Whether training and evaluation are done; evaluations on the way do not count."""
        if not self.results_file.is_file():
            return False
        if self.num_iterations() >= self.max_iter:
            return True
        # A test set without annotations gives no metrics, so the last evaluation logs nothing.
        is_trained = self.num_iterations() == self.max_iter - 1
        metrics = self.folder / "metrics.json"
        is_last = is_trained and self.results_file.stat().st_mtime > metrics.stat().st_mtime
        return is_last and not read_json(self.results_file)


def plan_runs(
    config_files: Sequence[Path],
    seeds: Sequence[int],
    output: Path,
    overrides: Sequence[str] = (),
    trust: Sequence[str] = (),
) -> list[Run]:
    """List the runs, by config and seed, into ``output/CONFIG/seedS``.

    Args:
        config_files: files, or names of rankdet's configs. Their last parts without the suffix
            become the names of the methods.
        seeds: not negative.
        output: folder of the comparison.
        overrides: ``key=value`` for all of them.
        trust: modules whose code a ``config.yaml`` may name.

    Raises:
        FileNotFoundError: a config does not exist.
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
    changes = changed_settings(cfg, saved)
    if changes:
        shown = "\n".join(changes[:10])
        raise ValueError(
            f"{saved.parent} holds a run of another config; choose another --output, or delete "
            f"that folder. What was (-) and what would be (+):\n{shown}"
        )
