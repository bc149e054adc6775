"""One machine of a job on two: adds numbers of all ranks until it has done so often enough."""

import sys
import time
from argparse import Namespace

import torch

from rankdet.engine.launcher import launch


def add(args: Namespace) -> None:
    """Add once more every tenth of a second, and say so."""
    for _ in range(args.num_sums):
        number = torch.ones(1)
        torch.distributed.all_reduce(number)
        print(f"sum {number.item():.0f}", flush=True)
        time.sleep(0.1)


if __name__ == "__main__":
    rank, url, timeout, num_sums = sys.argv[1:]
    arguments = Namespace(num_gpus=1, num_machines=2, machine_rank=int(rank), dist_url=url)
    launch(add, Namespace(**vars(arguments), dist_timeout=int(timeout), num_sums=int(num_sums)))
