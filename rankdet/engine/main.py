"""What ``rankdet train``, ``rankdet eval`` and ``python train_net.py`` run."""

from argparse import Namespace
from collections.abc import Sequence

from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from rankdet.engine.arguments import parse_arguments
from rankdet.engine.checkpoint import ensure_checkpoint
from rankdet.engine.config import load_config
from rankdet.engine.config_file import find_config_file
from rankdet.engine.known_warnings import silence_known_warnings
from rankdet.engine.launcher import launch
from rankdet.engine.output_folder import claimed_output_folder
from rankdet.engine.provenance import log_provenance
from rankdet.engine.training import evaluate_checkpoint, train


def main(arguments: Sequence[str] | None = None) -> None:
    """Train or evaluate in all processes of the job. User errors exit with a one-line message.

    Args:
        arguments: command line; None: that of this process.
    """
    launch(run, parse_arguments(arguments))


def run(args: Namespace) -> None:
    """Run in each process of the job.

    Args:
        args: from :func:`rankdet.engine.arguments.parse_arguments`.
    """
    silence_known_warnings()
    args.config_file = find_config_file(
        args.config_file
    )  # Detectron2 writes its content to the log.
    cfg = load_config(args.config_file, args.opts, args.trust)
    if args.eval_only and not args.resume:
        ensure_checkpoint(cfg.train.init_checkpoint)  # Before anything is written.
    with claimed_output_folder(cfg, args):
        default_setup(cfg, args)
        setup_logger(cfg.train.output_dir, comm.get_rank(), name="rankdet")
    log_provenance()
    if args.eval_only:
        evaluate_checkpoint(cfg, resume=args.resume)
    else:
        train(cfg, resume=args.resume)
