#!/usr/bin/env python
"""Train or evaluate an experiment: python train_net.py --config-file configs/.../NAME.py."""

import sys
from argparse import Namespace

from rankdet.environment import check_environment

try:
    check_environment()
except ImportError as error:
    sys.exit(f"error: {error}")

# The imports below need the environment that the line above has just checked.
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from rankdet.engine.arguments import parse_arguments
from rankdet.engine.config import load_config
from rankdet.engine.known_warnings import silence_known_warnings
from rankdet.engine.launch import launch
from rankdet.engine.output_folder import claimed_output_folder
from rankdet.engine.provenance import log_provenance
from rankdet.engine.train import evaluate_checkpoint, train

EXAMPLES = """
examples:
  train:       python train_net.py --config-file configs/glyphs/mask_rcnn_r18_fpn_ecm.py
  8 GPUs:      python train_net.py --config-file FILE --num-gpus 8
  continue:    python train_net.py --config-file FILE --resume
  evaluate:    python train_net.py --config-file FILE --eval-only train.init_checkpoint=MODEL.pth
  change:      python train_net.py --config-file FILE train.seed=1 train.output_dir=output/other
"""


def main(args: Namespace) -> None:
    """Run in each process of the job."""
    silence_known_warnings()
    cfg = load_config(args.config_file, args.opts, args.trust)
    with claimed_output_folder(cfg, args):
        default_setup(cfg, args)
        setup_logger(cfg.train.output_dir, comm.get_rank(), name="rankdet")
    log_provenance()
    if args.eval_only:
        evaluate_checkpoint(cfg, resume=args.resume)
    else:
        train(cfg, resume=args.resume)


if __name__ == "__main__":
    launch(main, parse_arguments(EXAMPLES))
