"""Convert checkpoints of mmdetection: ``python -m rankdet.tools.convert CHECKPOINT ...``.

Takes the state of Faster, Mask and Cascade R-CNN, RetinaNet, FCOS, ATSS, PAA and VarifocalNet with
a ResNet, ResNeXt or Swin and an FPN, of mmdetection and the forks of RS, BRS, aLRP, PCB, ECM and
Seesaw; or a backbone alone, as torchvision serves it. Writes a checkpoint for CONFIG, and prints
what became of each weight. Nothing in CHECKPOINT is run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rankdet.data.atomic_file import atomic_file
from rankdet.engine.config import load_config
from rankdet.engine.trust import add_trust
from rankdet.tools.command_line import (
    errors_as_sentences,
    output_file,
    split_overrides,
    tool_parser,
)
from rankdet.tools.convert.backbones import backbone_rules, neck_rules
from rankdet.tools.convert.completion import complete
from rankdet.tools.convert.facts import check_facts
from rankdet.tools.convert.loss_state import class_counts, loss_rules
from rankdet.tools.convert.one_stage import one_stage_rules
from rankdet.tools.convert.rules import Conversion, Rule, convert_weights
from rankdet.tools.convert.source import Source, read_source
from rankdet.tools.convert.summary import summarize
from rankdet.tools.convert.target import Target, build_target
from rankdet.tools.convert.two_stage import (
    box_head_rules,
    mask_head_rules,
    pcb_rules,
    rpn_rules,
)

_EXAMPLE = """
example:
  python -m rankdet.tools.convert ranksort_mask_rcnn_r50_fpn_1x_coco.pth
    --to coco/mask_rcnn_r50_fpn_1x_rs.py --output converted.pth
  rankdet eval --config-file coco/mask_rcnn_r50_fpn_1x_rs.py train.init_checkpoint=converted.pth
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert and print a summary. User errors exit with a one-line message."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    for_parser, overrides = split_overrides(given)
    options = _parser().parse_args(for_parser)
    with errors_as_sentences():
        print(convert(**vars(options), overrides=overrides))
        print(f"Wrote {options.output}.")


def convert(
    checkpoint: Path,
    to: str,
    output: Path,
    *,
    overrides: Sequence[str] = (),
    source_config: Path | None = None,
    trust: Sequence[str] = (),
) -> str:
    """Convert a checkpoint and write it.

    Args:
        checkpoint: file of mmdetection or torchvision.
        to: config, see :func:`rankdet.engine.config.load_config`.
        output: file to write, whole or not at all.
        overrides: of the config.
        source_config: the checkpoint's config, where it does not hold it.
        trust: modules whose code a run's config may name.

    Returns:
        What became of all weights.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: the checkpoint is damaged, or does not fit the config.
    """
    source = read_source(checkpoint, source_config)
    if output.exists() and output.samefile(checkpoint):
        raise ValueError(f"--output {output} is the checkpoint itself; give another file.")
    target = build_target(load_config(to, overrides, trust), class_counts(source))
    conversion = Conversion(source, target)
    check_facts(conversion)
    result = convert_weights(conversion, all_rules(source, target))
    summary = summarize(conversion, result, complete(conversion, result))
    weights = {name: result.weights[name] for name in target.weights if name in result.weights}
    content = {"model": weights, "converted_from": _origin(source, to, overrides)}
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output, "wb") as file:
        torch.save(content, file)
    return summary


def all_rules(source: Source, target: Target) -> list[Rule]:
    """The rules of all parts that a checkpoint may have."""
    if source.is_backbone:
        return backbone_rules("")
    heads = (
        one_stage_rules(target)
        if target.is_one_stage
        else [*rpn_rules(), *box_head_rules(), *mask_head_rules(), *pcb_rules(), *loss_rules()]
    )
    return [*backbone_rules("backbone."), *neck_rules(target), *heads]


def _origin(source: Source, config: str, overrides: Sequence[str]) -> dict[str, Any]:
    return {
        "file": source.path.name,
        "sha256": source.sha256,
        "mmdet_version": source.mmdet_version,
        "config": config,
        "overrides": list(overrides),
    }


def _parser() -> argparse.ArgumentParser:
    usage = "CHECKPOINT --to CONFIG --output FILE [--source-config FILE] [key=value ...]"
    parser = tool_parser("convert", __doc__, epilog=_EXAMPLE, usage=usage)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="file to convert")
    parser.add_argument(
        "--to", metavar="CONFIG", required=True, help="a config of the same detector"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=output_file, required=True, help="checkpoint to write"
    )
    parser.add_argument(
        "--source-config",
        metavar="FILE",
        type=Path,
        help="the checkpoint's config as mmdetection writes it beside its logs; read, not run; "
        "default: the one in the checkpoint",
    )
    add_trust(parser)
    return parser


if __name__ == "__main__":
    main()
