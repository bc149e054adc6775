"""Two processes that talk by gloo, for what needs torch alone."""

from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_two_ranks(run, folder):
    """Call ``run(rank)`` in each of two processes; gives what each returned.

    Not by Detectron2's launch: torch alone is imported much sooner.
    """
    mp.spawn(_run_rank, (run, folder), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


def _run_rank(rank, run, folder):
    limit = timedelta(seconds=60)  # so that ranks that wait for each other fail
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", store, timeout=limit, rank=rank, world_size=2)
    torch.save(run(rank), folder / f"rank{rank}.pt")
    dist.destroy_process_group()
