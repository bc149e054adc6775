"""Starting one or many processes, by Detectron2's launcher or under torchrun."""

import gc
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable

import torch
from detectron2.engine import launch as d2_launch
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException

Main = Callable[[Namespace], None]


def launch(main: Main, args: Namespace) -> None:
    """Run ``main(args)`` in every process of the job.

    Under torchrun the processes exist already and only have to find each other; otherwise
    Detectron2 starts ``args.num_gpus`` of them on this machine. On a machine without CUDA they talk
    by gloo.

    Args:
        main: entry point of each process.
        args: has Detectron2's ``num_gpus``, ``num_machines``, ``machine_rank``, ``dist_url``.

    Raises:
        SystemExit: see :func:`run_explained`.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        run_explained(_join_torchrun, main, args)
    else:
        run_explained(_start, main, args)


def run_explained(function: Callable[..., None], *args: object) -> None:
    """Call a function; an error that rankdet itself raises ends the process with its sentence.

    Args:
        function: what to call.
        args: for it.

    Raises:
        SystemExit: rankdet raised a ValueError, FileNotFoundError or FloatingPointError. All other
            errors pass, with their traceback.
    """
    try:
        function(*args)
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if not frame.f_globals["__name__"].startswith("rankdet."):
            raise
        sys.exit(f"error: {error}")
    finally:
        _leave_gloo()


def _leave_gloo() -> None:
    """End gloo's threads: one that outlives Python aborts the process now and then.

    A group ends its threads when nobody holds it any more, and Detectron2 holds two: the one that
    ``comm.gather`` uses, which under NCCL is a gloo group of its own, and that of the machine.
    """
    if not torch.distributed.is_initialized():
        return
    gathering = comm._get_global_gloo_group
    if torch.distributed.get_backend() == "gloo":
        torch.distributed.destroy_process_group()
        comm._LOCAL_PROCESS_GROUP = None
    elif gathering.cache_info().currsize:
        torch.distributed.destroy_process_group(gathering())
    gathering.cache_clear()
    gc.collect()


def _start(main: Main, args: Namespace) -> None:
    num_visible = torch.cuda.device_count()
    if num_visible and args.num_gpus > num_visible:
        raise ValueError(
            f"--num-gpus is {args.num_gpus}, but {num_visible} GPUs are visible; ask for fewer."
        )
    try:
        d2_launch(
            run_explained,
            args.num_gpus,
            args.num_machines,
            args.machine_rank,
            args.dist_url,
            args=(main, args),
        )
    except ProcessExitedException as error:
        # The process has said why, unless a signal ended it.
        if error.signal_name:
            raise
        sys.exit(error.exit_code)


def _join_torchrun(main: Main, args: Namespace) -> None:
    has_cuda = torch.cuda.is_available()
    if has_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if has_cuda else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    main(args)
