"""Convert checkpoints of mmdetection: ``python -m rankdet.tools.convert CHECKPOINT ...``.

Takes the state of Faster, Mask and Cascade R-CNN, RetinaNet, FCOS, ATSS, PAA and VarifocalNet with
a ResNet, ResNeXt or Swin and an FPN, of mmdetection and the forks of RS, BRS, aLRP, PCB, ECM and
Seesaw; Co-DETR and BRS-DETR (Co-Deformable-DETR); or a backbone alone, as torchvision serves it.
Writes a checkpoint for CONFIG, and prints what became of each weight. Nothing in CHECKPOINT is run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rankdet.data.atomic_file import atomic_file
from rankdet.engine.config import load_config
from rankdet.engine.imagenet_weights import merges_patches_first
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
from rankdet.tools.convert.rules import Conversion, Converted, Rule, convert_weights
from rankdet.tools.convert.source import Source, read_source
from rankdet.tools.convert.summary import summarize
from rankdet.tools.convert.target import build_target
from rankdet.tools.convert.transformer import (
    add_part,
    parts_of,
    transformer_rules,
    without_parts,
)
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
    result = convert_all(conversion)
    summary = summarize(conversion, result, complete(conversion, result))
    weights = {name: result.weights[name] for name in target.weights if name in result.weights}
    content = {"model": weights, "converted_from": _origin(source, to, overrides)}
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output, "wb") as file:
        torch.save(content, file)
    return summary


def convert_all(conversion: Conversion) -> Converted:
    """Send all weights through the rules; those of collaborative heads as of other detectors."""
    parts = parts_of(conversion)
    rest = without_parts(conversion, parts)
    result = convert_weights(rest, _rules(rest))
    for part in parts:
        add_part(result, part, convert_weights(part.conversion, _head_rules(part.conversion)))
    return result


def _rules(conversion: Conversion) -> list[Rule]:
    source, target = conversion.source, conversion.target
    if source.is_backbone:
        merges_first = merges_patches_first(source.weights)
        return backbone_rules("", target.body, merges_first=merges_first)
    rules = backbone_rules("backbone.", target.body)
    if target.is_transformer:
        return [*rules, *transformer_rules(target)]
    return [*rules, *neck_rules(target), *_head_rules(conversion)]


def _head_rules(conversion: Conversion) -> list[Rule]:
    """Rules of a detector without backbone and neck."""
    if conversion.target.is_one_stage:
        return one_stage_rules(conversion.target)
    return [*rpn_rules(), *box_head_rules(), *mask_head_rules(), *pcb_rules(), *loss_rules()]


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
