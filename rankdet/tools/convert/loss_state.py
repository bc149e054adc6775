"""Rules for what losses have learned or counted: ECM, Seesaw, EQL v2 and PCB."""

import torch

from rankdet.tools.convert.rules import Change, Changed, Piece, Rule
from rankdet.tools.convert.source import Source

_LOSS = r"(roi_head\.)?bbox_head\.(?P<stage>\d\.)?loss_cls\."
_OURS = "roi_heads.box_predictor.{stage}loss."
_ABSENT = "the state of a loss that the config does not have"
_COUNTS = "give the config as many classes"


def loss_rules() -> list[Rule]:
    """Rules for the buffers of classification losses."""
    return [*_ecm_rules(), *_seesaw_rules(), *_eql_rules(), *_pcb_rules()]


def class_counts(source: Source) -> torch.Tensor | None:
    """The training instances of each class ``(C,)`` that ECM's release saves; None: no ECM."""
    for name, tensor in source.weights.items():
        if name.endswith("loss_cls.sample_n") and tensor.dim() == 1 and len(tensor) > 1:
            return tensor[:-1].double().round()
    return None


def _ecm_rules() -> list[Rule]:
    """ECM's counts of samples, background last."""
    source = rf"{_LOSS}sample_n"

    def rule(name: str, change: Change) -> Rule:
        return Rule(source, f"{_OURS}{name}", (change,), reason=_ABSENT, remedy=_COUNTS)

    return [
        rule("class_counts", _foreground_counts),
        rule("background_ratio", _background_ratio),
        rule("background_ratio_is_frozen", _true),
        Rule(rf"{_LOSS}detection_cls_weight", reason="weights of ECM, computed from sample_n"),
    ]


def _seesaw_rules() -> list[Rule]:
    return _in_or_around_pcb("cum_samples", "class_counts", (_foreground_counts,), _ABSENT)


def _eql_rules() -> list[Rule]:
    """The sums of the authors' repository; other ports do not save theirs."""
    return [
        *_in_or_around_pcb("pos_grad", "pos_gradients", (), _ABSENT),
        *_in_or_around_pcb("neg_grad", "neg_gradients", (), _ABSENT),
        Rule(rf"{_LOSS}_?pos_neg", reason="the ratio of pos_grad and neg_grad"),
    ]


def _pcb_rules() -> list[Rule]:
    return [
        Rule(
            rf"{_LOSS}fg_confusion_matrix",
            f"{_OURS}confusion.matrix",
            reason=_ABSENT,
            remedy=_COUNTS,
        ),
        Rule(
            rf"{_LOSS}num_inst_cnt",
            f"{_OURS}confusion.num_updates",
            (_seen,),
            reason=_ABSENT,
            remedy=_COUNTS,
        ),
        Rule(
            rf"{_LOSS}_epoch",
            reason="the epoch of PCB's training; here PCB counts iterations, from 0 again",
        ),
    ]


def _in_or_around_pcb(
    source: str, target: str, changes: tuple[Change, ...], reason: str
) -> list[Rule]:
    """Rules for a loss that stands alone, and for one that PCB wraps."""
    return [
        Rule(
            rf"{_LOSS}_?{source}", f"{_OURS}{base}{target}", changes, reason=reason, remedy=_COUNTS
        )
        for base in ("", "base.")
    ]


def _foreground_counts(piece: Piece) -> Changed:
    """Counts without that of background, the last."""
    return Changed(piece.tensor[:-1].double().round(), "without background")


def _background_ratio(piece: Piece) -> Changed:
    """Background per foreground sample, with the four decimals that the release writes."""
    counts = piece.tensor.double()
    ratio = counts[-1] / counts[:-1].sum()
    rounded = ratio.round(decimals=4)
    is_exact = torch.isclose(ratio, rounded, rtol=1e-6)
    return Changed(rounded if is_exact else ratio, "background per foreground sample")


def _true(piece: Piece) -> Changed:
    return Changed(torch.tensor(True), "a fixed ratio")


def _seen(piece: Piece) -> Changed:
    """Whether a class has been seen; the release counts its samples, rankdet its updates."""
    return Changed((piece.tensor > 0).long(), "whether the class has been seen")
