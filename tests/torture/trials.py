"""All trials: kills, full disks, stale folders, lost ranks."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import torch
from support.forked_run import wait
from torture.checkpoints import contents, equal, is_whole_checkpoint, iteration_of
from torture.hurts import STAGES, fill_after, killed_in_write
from torture.promises import Promises
from torture.ranks import children, start_ranks
from torture.training import MAX_ITER, PERIOD, WORKERS, Training

from rankdet.engine.checkpoint import last_checkpoint


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
        check(f"killed {how}: weights and optimizer bit-equal", same, folder)
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
            stage, write = STAGES[number % len(STAGES)], 1 + number % last_write
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
        check("killed rank: weights and optimizer bit-equal", equal(*states), killed)
