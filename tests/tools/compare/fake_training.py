"""A training that takes no time; seed 9 fails, 8 and 18 hang. Stands in for rankdet train."""

import json
import os
import sys
import time
from pathlib import Path

settings = dict(argument.split("=", 1) for argument in sys.argv if "=" in argument)
folder = Path(settings["train.output_dir"].strip("'"))
seed = int(settings["train.seed"])
(folder / "arguments.txt").write_text("\n".join(sys.argv[1:]))
threads = os.environ.get("OMP_NUM_THREADS")
print(f"threads {threads}, GPU {os.environ.get('CUDA_VISIBLE_DEVICES')}", flush=True)
if seed in (8, 18):
    time.sleep(60)
if seed == 9:
    sys.exit("the loss of seed 9 is NaN")
with (folder / "metrics.json").open("a") as file:
    file.write(json.dumps({"iteration": 6, "bbox/AP": 30.0 + seed, "loss": float("nan")}) + "\n")
(folder / "results.json").write_text(json.dumps({"bbox": {"AP": 30.0 + seed, "APl": None}}))
