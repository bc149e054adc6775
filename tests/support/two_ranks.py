"""Two processes that talk by gloo."""

import gc
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_two_ranks(run: Callable[[int], Any], folder: Path) -> list[Any]:
    """Call ``run(rank)`` in each of two processes; gives what each returned.

    They are forked from this process, which has imported everything already. Neither CUDA nor the
    threads of autograd for it survive that.
    """
    method = "spawn" if torch.cuda.is_available() else "fork"
    mp.start_processes(_run_rank, (run, folder), nprocs=2, start_method=method)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


def run_two_trainers(run: Callable[[int], Any], folder: Path) -> list[Any]:
    """The same for what asks Detectron2 for its rank."""
    return run_two_ranks(partial(_run_trainer, run), folder)


def _run_rank(rank: int, run: Callable[[int], Any], folder: Path) -> None:
    gc.freeze()  # What the other process has left, e.g. workers of loaders, is not this one's.
    torch.set_num_threads(1)  # Those of OpenMP have not been forked.
    limit = timedelta(seconds=60)  # so that ranks that wait for each other fail
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", store, timeout=limit, rank=rank, world_size=2)
    torch.save(run(rank), folder / f"rank{rank}.pt")
    if dist.is_initialized():
        dist.destroy_process_group()


def _run_trainer(run: Callable[[int], Any], rank: int) -> Any:
    from detectron2.utils import comm

    comm.create_local_process_group(2)
    result = run(rank)
    comm.synchronize()
    return result
