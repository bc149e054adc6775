"""Kill, starve and resume trainings, and count which promises hold: ``make torture``.

Kills come at random moments, and at every stage of writing a checkpoint. What is left is resumed,
and must end as an uninterrupted run: the same weights, optimizer state, images and results.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import torch
from torture.hurts import small_disk
from torture.trials import Torture


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
