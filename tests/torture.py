"""Kill, starve and resume trainings, and count which promises hold: ``make torture``.

Every training is a process of its own, forked from this one, which has imported everything. Kills
come at random moments, and at every stage of writing a checkpoint. What is left is resumed, and
must end as an uninterrupted run: the same weights, optimiser state, images and results.
"""

import argparse
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from smoke_run import CONFIG, OVERRIDES, ROOT
from tabulate import tabulate

import rankdet.data.atomic_file
import rankdet.engine.checkpoint
import rankdet.engine.train
from rankdet.engine.checkpoint import last_checkpoint

sys.path.insert(0, str(ROOT))
import train_net

MAX_ITER, PERIOD = 12, 3
BRIGHTNESS = "detectron2.data.transforms.RandomBrightness"
SETTINGS = (
    *OVERRIDES,
    f"train.max_iter={MAX_ITER}",
    f"train.checkpointer.period={PERIOD}",
    'dataloader.evaluator.tasks=["bbox"]',
    "dataloader.train.mapper.augmentations="
    f"[{{_target_: {BRIGHTNESS}, intensity_min: 0.5, intensity_max: 1.5}}]",
)
WORKERS = (0, 1, 2, 4)
Hurt = Callable[[], None]
"""What is done to the process of a training before it starts."""


class Promises:
    """Counts how often each promise was tried and how often it was kept."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()

    def check(self, promise: str, is_kept: bool, where: Path) -> None:
        self.tried[promise] += 1
        self.kept[promise] += is_kept
        if not is_kept:
            print(f"BROKEN: {promise}: {where}", flush=True)

    @property
    def are_kept(self) -> bool:
        return self.kept == self.tried

    def __str__(self) -> str:
        rows = [[name, self.tried[name], self.kept[name]] for name in self.tried]
        kills = [[how, number] for how, number in sorted(self.kills.items())]
        kills.append(["all", self.kills.total()])
        return "\n\n".join(
            [tabulate(rows, ["promise", "tried", "kept"]), tabulate(kills, ["kills", "number"])]
        )


class Training:
    """A training in a folder, started as often as it takes.

    Args:
        folder: ``train.output_dir``.
        num_workers: of its data loader.
        max_iter: its iterations.
        notes: beside it are what the training prints and the images that it sees; None: the folder.
    """

    def __init__(
        self,
        folder: Path,
        num_workers: int = 0,
        max_iter: int = MAX_ITER,
        notes: Path | None = None,
    ) -> None:
        self.folder = folder
        self.notes = notes or folder
        self.num_workers = num_workers
        self.max_iter = max_iter

    @property
    def console(self) -> str:
        """What the last start has printed."""
        return self.notes.with_suffix(".console").read_text(errors="replace")

    def start(self, hurt: Hurt = lambda: None, *, resume: bool = True) -> int:
        """Fork the process of a start; gives its id."""
        process = os.fork()
        if process == 0:
            os._exit(self._run(hurt, resume))
        return process

    def run(self, hurt: Hurt = lambda: None, *, resume: bool = True) -> int:
        """Start, and wait for the end: the exit status, negative for a signal."""
        return wait(self.start(hurt, resume=resume))

    def _run(self, hurt: Hurt, resume: bool) -> int:
        output = self.notes.with_suffix(".console").open("w", buffering=1)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        sys.stdout = sys.stderr = output
        record_images(self.notes.with_suffix(".images"))
        hurt()
        own = (
            f"train.output_dir={self.folder}",
            f"train.max_iter={self.max_iter}",
            f"dataloader.train.num_workers={self.num_workers}",
        )
        flags = ["--resume"] if resume else []
        arguments = ["--config-file", CONFIG, *flags, *SETTINGS, *own]
        try:
            train_net.launch(train_net.main, train_net.parse_arguments("", arguments))
        except SystemExit as end:
            print(end.code, flush=True)
            return 1
        except BaseException as error:
            print(f"Traceback: {error!r}", flush=True)
            return 3
        return 0

    def state(self) -> object:
        """What the final checkpoint holds."""
        return torch.load(self.folder / "model_final.pth", weights_only=True)

    def images(self) -> dict[int, list[int]]:
        """Iteration to the images that the weights rest on: those of its last time."""
        lines = self.notes.with_suffix(".images").read_text().splitlines()
        return {iteration: ids for iteration, ids in map(json.loads, lines)}

    def iterations(self) -> list[int]:
        """The iteration of each line of the metrics."""
        lines = (self.folder / "metrics.json").read_text().splitlines()
        return [json.loads(line)["iteration"] for line in lines]

    def results(self) -> object:
        """The results of the evaluation."""
        return json.loads((self.folder / "results.json").read_text())


def wait(process: int) -> int:
    """Exit status of a process; negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def record_images(path: Path) -> None:
    """Have a training write the images of each iteration to a file."""
    original = rankdet.engine.train.training_batches

    def recorded(*args):
        stream = original(*args)
        return Recorded(stream, path)

    rankdet.engine.train.training_batches = recorded


class Recorded:
    """Batches that leave a line with the ids of their images."""

    def __init__(self, stream, path: Path) -> None:
        self.dataset = stream
        self.path = path

    def __iter__(self) -> Iterator[list[dict]]:
        for iteration, batch in enumerate(self.dataset, self.dataset.start_iter):
            with self.path.open("a") as file:
                file.write(json.dumps([iteration, [x["image_id"] for x in batch]]) + "\n")
            yield batch


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


STAGES = ("content", "before rename", "after rename")


class DyingOS:
    """The ``os`` of :mod:`rankdet.data.atomic_file`, which kills at a stage of one of the writes.

    Args:
        stage: of ``STAGES``; at "content" the file is cut.
        write: number of the write, from 1 on: checkpoints and their tags in turn.
        share: of the content that is left.
    """

    def __init__(self, stage: str, write: int, share: float) -> None:
        self.stage = stage
        self.write = write
        self.share = share
        self.num_writes = 0

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def _is_time(self, stage: str) -> bool:
        return self.num_writes == self.write and self.stage == stage

    def fsync(self, descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.num_writes += 1
            if self._is_time("content"):
                os.ftruncate(descriptor, int(self.share * os.fstat(descriptor).st_size))
                die()
        os.fsync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        if self._is_time("before rename"):
            die()
        os.replace(source, target)
        if self._is_time("after rename"):
            die()


def killed_in_write(stage: str, write: int, share: float) -> Hurt:
    """Kill a training in one of its writes, see :class:`DyingOS`."""

    def hurt() -> None:
        rankdet.data.atomic_file.os = DyingOS(stage, write, share)

    return hurt


class Torture:
    """All trials, in a folder.

    Args:
        folder: for the trainings.
        seed: of the moments of the kills.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.promises = Promises()
        self.wholes: dict[int, Training] = {}
        self.num_trainings = 0
        self.seconds = 0.0

    def whole(self, max_iter: int = MAX_ITER) -> Training:
        """The uninterrupted training, without workers."""
        if max_iter not in self.wholes:
            training = Training(self.folder / f"whole{max_iter}", 0, max_iter)
            start = time.monotonic()
            if training.run(resume=False):
                raise RuntimeError(f"the uninterrupted training failed:\n{training.console}")
            self.seconds = time.monotonic() - start
            self.wholes[max_iter] = training
        return self.wholes[max_iter]

    def new(self, name: str, num_workers: int = 0, max_iter: int = MAX_ITER) -> Training:
        self.num_trainings += 1
        folder = self.folder / f"{self.num_trainings:03d}_{name.replace(' ', '_')}"
        return Training(folder, num_workers, max_iter)

    def kill_at_random(self, training: Training) -> bool:
        """Start a training and kill it at a random moment; gives whether it was alive then."""
        process = training.start()
        time.sleep(self.rng.uniform(0, 1.1 * self.seconds))
        os.kill(process, signal.SIGKILL)
        return self.was_killed(training, wait(process), "at a random moment")

    def was_killed(self, training: Training, status: int, how: str) -> bool:
        """Count a kill, and look at what it has left."""
        if status != -signal.SIGKILL:
            return False
        self.promises.kills[how] += 1
        last = last_checkpoint(str(training.folder))
        if last is not None:
            is_whole = is_whole_checkpoint(Path(last))
            self.promises.check("after a kill the last checkpoint is whole", is_whole, Path(last))
        return True

    def finish(self, training: Training, how: str) -> None:
        """Resume a training to its end, and compare it with the uninterrupted one."""
        status = training.run()
        check, folder, whole = self.promises.check, training.folder, self.whole(training.max_iter)
        check("a resumed run ends", status == 0, folder)
        if status:
            return
        same = equal(training.state(), whole.state())
        check(f"killed {how}: weights and optimiser bit-equal", same, folder)
        same = training.images() == whole.images()
        check("no image is lost or seen twice", same, folder)
        found = training.iterations()
        once = len(set(found)) == len(found) and set(whole.iterations()) <= set(found)
        check("metrics.json holds each iteration once", once, folder)
        same = training.results() == whole.results()
        check("the results are those of the uninterrupted run", same, folder)
        if self.promises.are_kept:
            shutil.rmtree(folder)

    def random_kills(self, num_kills: int) -> None:
        """Kill at random moments, one to four times a training, with 0, 1, 2 and 4 workers."""
        self.whole()
        while num_kills > 0:
            for num_workers in WORKERS:
                training = self.new(f"{num_workers} workers", num_workers)
                for _ in range(min(num_kills, self.rng.randint(1, 4))):
                    num_kills -= self.kill_at_random(training)
                self.finish(training, f"at random moments, {num_workers} workers")

    def kills_in_writes(self, num_kills: int) -> None:
        """Kill inside the writes of checkpoints and tags, the final ones too."""
        last_write = 2 * (MAX_ITER // PERIOD + 1)
        for number in range(num_kills):
            training = self.new("write", self.rng.choice(WORKERS))
            write = 1 + number % last_write
            stage = STAGES[number // last_write % len(STAGES)] if number % 2 else "content"
            status = training.run(killed_in_write(stage, write, self.rng.random()))
            self.was_killed(training, status, f"inside a write: {stage}")
            self.finish(training, "inside the write of a checkpoint or its tag")

    def kills_in_longer_runs(self, num_kills: int) -> None:
        """Finish, go on with a larger max_iter, and kill inside the new final checkpoint."""
        longer = MAX_ITER + PERIOD
        for _ in range(num_kills):
            training = self.new("longer")
            training.run()
            training.max_iter = longer
            write = self.rng.choice([1, 2, 3, 4])
            status = training.run(killed_in_write("content", write, self.rng.random()))
            self.was_killed(training, status, "in a finished run that goes on")
            left = last_checkpoint(str(training.folder))
            is_kept = left is not None and iteration_of(Path(left)) >= MAX_ITER - 1
            self.promises.check(
                "a finished run loses nothing when it goes on", is_kept, training.folder
            )
            status = training.run()
            is_done = (
                status == 0 and iteration_of(training.folder / "model_final.pth") == longer - 1
            )
            self.promises.check("a resumed run ends", is_done, training.folder)

    def stale_folders(self) -> None:
        """Start a second training in the folder of a killed one, without --resume."""
        training = self.new("stale")
        training.run(killed_in_write("before rename", 3, 1.0))
        before = contents(training.folder)
        status = training.run(resume=False)
        is_refused = status == 1 and "holds a run; go on with it by --resume" in training.console
        check = self.promises.check
        check("a fresh start over another run is refused", is_refused, training.folder)
        is_same = contents(training.folder) == before
        check("a refused start changes nothing", is_same, training.folder)

    def full_disk(self, folder: Path) -> None:
        """Train on a disk that gets full after the first checkpoint; make room, and resume.

        Args:
            folder: a disk of its own.
        """
        training = Training(folder / "run", notes=self.folder / "full_disk")
        training.run(lambda: fill_after(1, folder / "filling"))
        lines = [line for line in training.console.splitlines() if line.strip()]
        is_sentence = "can't be written any more (No space left on device" in lines[-1]
        is_sentence &= "--resume" in lines[-1] and "Traceback" not in training.console
        self.promises.check(
            "a full disk ends a run with one sentence", is_sentence, training.folder
        )
        last = last_checkpoint(str(training.folder))
        is_whole = last is not None and is_whole_checkpoint(Path(last))
        self.promises.check(
            "a full disk leaves the last checkpoint whole", is_whole, training.folder
        )
        (folder / "filling").unlink()
        self.finish(training, "by a full disk")

    def killed_rank(self) -> None:
        """Kill one of two ranks, which must end the job, and resume; by processes as users have."""
        whole, killed = self.folder / "ranks_whole", self.folder / "ranks_killed"
        jobs = [start_ranks(folder) for folder in (whole, killed)]
        while not (killed / "last_checkpoint").exists() and jobs[1].poll() is None:
            time.sleep(0.02)
        victim = self.rng.choice(children(jobs[1].pid))
        os.kill(victim, signal.SIGKILL)
        self.promises.kills["one of two ranks"] += 1
        said = jobs[1].communicate(timeout=120)[0]
        is_sentence = jobs[1].returncode == 1 and "ended by SIGKILL" in said
        check = self.promises.check
        check("a job that lost a rank ends with a sentence", is_sentence, killed)
        jobs.append(start_ranks(killed, "--resume"))
        for job in (jobs[0], jobs[2]):
            job.communicate()
        states = [torch.load(f / "model_final.pth", weights_only=True) for f in (whole, killed)]
        check("killed rank: weights and optimiser bit-equal", equal(*states), killed)


def is_whole_checkpoint(path: Path) -> bool:
    try:
        return "model" in torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError):
        return False


def iteration_of(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["iteration"]) if path.is_file() else -1


def equal(found: object, expected: object) -> bool:
    """Whether two checkpoints are equal, bit for bit."""
    if isinstance(expected, torch.Tensor):
        return isinstance(found, torch.Tensor) and torch.equal(found, expected)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(equal(found[k], expected[k]) for k in found)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(equal, found, expected))
    return found == expected


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(f): (f.stat().st_size, f.stat().st_mtime_ns) for f in files}


def fill_after(num_checkpoints: int, filling: Path) -> None:
    """Have a training fill its disk after so many checkpoints."""
    original = rankdet.engine.checkpoint.Checkpointer.tag_last_checkpoint
    counts: Counter[str] = Counter()

    def tag(self, name: str) -> None:
        original(self, name)
        counts["tags"] += 1
        if counts["tags"] == num_checkpoints:
            free = os.statvfs(filling.parent)
            with filling.open("wb") as file:
                file.write(bytes(free.f_bavail * free.f_frsize))

    rankdet.engine.checkpoint.Checkpointer.tag_last_checkpoint = tag


def start_ranks(folder: Path, *flags: str) -> "subprocess.Popen[str]":
    """Start two ranks by train_net.py."""
    own = (f"train.output_dir={folder}", "--num-gpus", "2", "--dist-url", "auto", *flags)
    own = (*own[1:], *SETTINGS, own[0])
    command = [sys.executable, str(ROOT / "train_net.py"), "--config-file", CONFIG, *own]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env=environment, text=True, **output)


def children(process: int) -> list[int]:
    """The ranks of a job: its children that run Python's spawned main."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    commands = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in found}
    return [one for one, command in commands.items() if b"spawn_main" in command]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """Mount a small disk on a folder; gives whether the system allows it."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    is_mounted = (
        shutil.which("mount") is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


def main() -> None:
    """Torture, print the promises and the kills, and fail if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=40, help="at least; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of their moments; default: 0")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="rankdet-torture-") as name:
        folder = Path(name)
        os.environ["RANKDET_CACHE"] = str(folder / "cache")
        torture = Torture(folder, options.seed)
        torture.random_kills(options.kills // 2)
        torture.kills_in_writes(options.kills // 2)
        torture.kills_in_longer_runs(2)
        torture.stale_folders()
        with small_disk(folder / "disk", 200) as is_mounted:
            if is_mounted:
                torture.full_disk(folder / "disk")
            else:
                print("Left out: a full disk, as this user may not mount one.")
        torture.killed_rank()
        print(torture.promises)
    sys.exit(not torture.promises.are_kept)


if __name__ == "__main__":
    main()
