"""Starting one or many processes, by Detectron2's launcher or under torchrun."""

import os
from argparse import Namespace
from collections.abc import Callable

import torch
from detectron2.engine import launch as d2_launch
from detectron2.utils import comm


def launch(main: Callable[[Namespace], None], args: Namespace) -> None:
    """Run ``main(args)`` in every process of the job.

    Under torchrun the processes exist already and only have to find each other; otherwise
    Detectron2 starts ``args.num_gpus`` of them on this machine. On a machine without CUDA they talk
    by gloo.

    Args:
        main: entry point of each process.
        args: has Detectron2's ``num_gpus``, ``num_machines``, ``machine_rank``, ``dist_url``.

    Raises:
        ValueError: more GPUs are asked for than there are.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _join_torchrun()
        main(args)
        return
    num_visible = torch.cuda.device_count()
    if num_visible and args.num_gpus > num_visible:
        raise ValueError(f"--num-gpus {args.num_gpus}, but {num_visible} GPUs are visible.")
    d2_launch(
        main, args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args=(args,)
    )


def _join_torchrun() -> None:
    has_cuda = torch.cuda.is_available()
    if has_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if has_cuda else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
