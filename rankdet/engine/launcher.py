"""Starting one or many processes, by Detectron2's launcher or under torchrun."""

import gc
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import timedelta

import torch
from detectron2.engine import launch as d2_launch
from detectron2.utils import comm
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from rankdet.engine.build import is_own
from rankdet.engine.network import choose_interface, explain_lost, lost_connection
from rankdet.engine.output_folder import is_write_error

Main = Callable[[Namespace], None]


def launch(main: Main, args: Namespace) -> None:
    """Run ``main(args)`` in every process of the job.

    Under torchrun the processes exist already and only have to find each other; otherwise
    Detectron2 starts ``args.num_gpus`` of them on this machine. On a machine without CUDA they talk
    by gloo, whose interface to other machines is that of the route to the master.

    Args:
        main: entry point of each process.
        args: has Detectron2's ``num_gpus``, ``num_machines``, ``machine_rank``, ``dist_url``, and
            ``dist_timeout``: so many seconds the processes wait for each other.

    Raises:
        SystemExit: see :func:`run_explained`.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        run_explained(_join_torchrun, main, args)
    else:
        run_explained(_start, main, args)


def run_explained(function: Callable[..., None], *args: object) -> None:
    """Call a function; an error with an :func:`explanation` ends the process with it.

    Args:
        function: what to call.
        args: its arguments.

    Raises:
        SystemExit: the error has an explanation. Other errors keep their traceback.
    """
    train_loop = logging.getLogger("detectron2.engine.train_loop")
    train_loop.addFilter(_is_unexplained)
    try:
        function(*args)
    except Exception as error:
        sentence = explanation(error)
        if not sentence:
            raise
        sys.exit(f"error: {sentence}")
    finally:
        train_loop.removeFilter(_is_unexplained)
        _leave_gloo()


def explanation(error: BaseException) -> str:
    """The message of an error that the user can mend; empty for other errors.

    The user can mend what rankdet itself raises (:func:`rankdet.engine.build.is_own`), and a lost
    connection between the processes.
    """
    if is_own(error):
        return str(error)
    return lost_connection(error)


def _is_unexplained(record: logging.LogRecord) -> bool:
    """Whether Detectron2's log of an error is worth showing, because no sentence follows."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or not (explanation(error) or is_write_error(error))


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
    if args.num_machines > 1:
        choose_interface(args.dist_url, args.machine_rank)
    try:
        d2_launch(
            run_explained,
            args.num_gpus,
            args.num_machines,
            args.machine_rank,
            args.dist_url,
            args=(main, args),
            timeout=timedelta(seconds=args.dist_timeout),
        )
    except ProcessExitedException as error:
        if error.signal_name:
            raise ValueError(
                f"a process of the job was ended by {error.signal_name}, perhaps for want of "
                "memory; go on with --resume."
            ) from error
        sys.exit(error.exit_code)  # The process has said why.
    except ProcessRaisedException as error:
        if "in init_process_group" not in str(error):
            raise
        raise ValueError(explain_lost(str(error).strip().splitlines()[-1])) from error


def _join_torchrun(main: Main, args: Namespace) -> None:
    has_cuda = torch.cuda.is_available()
    if has_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if os.environ["WORLD_SIZE"] != os.environ["LOCAL_WORLD_SIZE"]:
        master = f"tcp://{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        choose_interface(master, int(os.environ["GROUP_RANK"]))
    torch.distributed.init_process_group(
        "nccl" if has_cuda else "gloo", timeout=timedelta(seconds=args.dist_timeout)
    )
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    main(args)
