"""Compare a run with the theory of ECM: ``python -m rankdet.tools.ranking_errors RUN_FOLDER``.

Scores the proposals of a data set, and writes for each class the detection error, the ranking error
and the classification error, with the bounds of Theorems 2 and 3 and the linear approximation, to
RUN_FOLDER/analysis/ranking_errors.json, and a picture like figures 2 and 3 of the paper beside it.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from detectron2.modeling import GeneralizedRCNN
from tabulate import tabulate

from rankdet.data.annotation_file import read_annotations
from rankdet.data.frequency_groups import LABELS, Classes, read_classes
from rankdet.data.registered import annotation_path, class_ids, ensure_dataset, load_dicts
from rankdet.engine.arguments import whole_number
from rankdet.engine.checkpoint import last_checkpoint
from rankdet.engine.training import dataset_names
from rankdet.engine.trust import add_trust
from rankdet.evaluation.ranking_errors import ClassScores, RankingErrors, judged_classes
from rankdet.tools.analysis_file import read_kept, write_analysis
from rankdet.tools.command_line import errors_as_sentences, tool_parser
from rankdet.tools.json_file import Number
from rankdet.tools.proposal_scores import annotated_loader, box_predictors, score_proposals
from rankdet.tools.ranking_error_plot import plot_ranking_errors
from rankdet.tools.run_folder import find_checkpoint, find_config, load_model, load_run_config

_MEANS = (
    "ranking_error",
    "detection_error",
    "lower_bound",
    "linear_approximation",
    "upper_bound",
    "classification_error",
)

_VALUES = dict.fromkeys(("alpha", *_MEANS), Number)
RANKING_ERRORS = {
    "dataset": str,
    "num_images": int,
    "num_dataset_images": int,
    "checkpoint": str,
    "classes": [{"frequency": str, **_VALUES}],
    "groups": {str: {"num_classes": int, **_VALUES}},
}
"""Shape of the file, see :func:`rankdet.tools.json_file.read_json`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute, print, write and draw. User errors exit with a one-line message."""
    options = _parser().parse_args(arguments)
    with errors_as_sentences():
        path = write_ranking_errors(**vars(options))
        analysis = json.loads(path.read_text())
        print(_summary(analysis))
        picture = path.with_suffix(".png")
        plot_ranking_errors(analysis).savefig(picture)
        print(f"Errors of each class: {path}\nPicture: {picture}")


def write_ranking_errors(
    run_folder: Path,
    dataset: str | None = None,
    checkpoint: Path | None = None,
    num_images: int | None = None,
    trust: Sequence[str] = (),
) -> Path:
    """Compute the errors of the classes of a run on a data set, and write them.

    The file has "dataset", "num_dataset_images", "checkpoint", "num_images" (that were scored) and
    "num_proposals"; "classes": "class_id", "name", "frequency" and the fields of
    :class:`RankingErrors` (null for a class without a positive or a negative); and "groups": by
    letter, "num_classes", the median of alpha, the means of the errors and bounds, and the least
    "offset" o with 1 - AP <= m R + o for all classes.

    Args:
        run_folder: ``train.output_dir`` of the run of a two-stage model.
        dataset: a registered data set; None: the one that the run tests on. The paper has the
            training set.
        checkpoint: weights; None: the last of the run.
        num_images: at most so many, spread evenly over the data set; None: all.
        trust: modules whose code the run's config may name.

    Returns:
        The file, :func:`ranking_errors_path`.

    Raises:
        FileNotFoundError: there is no such run, checkpoint or data set.
        ValueError: the model has no :class:`BoxPredictor`, the weights or the data set do not fit
            it, or no proposal finds an object.
    """
    cfg = load_run_config(find_config(run_folder), trust=trust)
    weights = find_checkpoint(run_folder, checkpoint)
    name = dataset or dataset_names(cfg, "test")[0]
    cfg.dataloader.test.dataset.names = name
    train_names = dataset_names(cfg, "train")
    classes = read_classes(name, train_names)
    model = load_model(cfg, weights)
    box_predictors(model)  # A model of one stage ends here, before anything is promised.
    records = load_dicts(name)
    if not any(record.get("annotations") for record in records):
        raise ValueError(
            f"{name!r} has no annotations, so there are no objects to rank; give another."
        )
    total = len(records)
    number = total if num_images is None else min(num_images, total)
    print(
        f"Ranking errors: scoring the proposals of {run_folder} on {number:,} of the {total:,} "
        f"images of {name}.",
        flush=True,
    )
    analysis = analyse_ranking_errors(model, annotated_loader(cfg, num_images), name, classes)
    made_from = {"checkpoint": weights, "num_dataset_images": total}
    path = ranking_errors_path(run_folder)
    write_analysis(path, {**made_from, **analysis}, [name, *train_names])
    return path


def ranking_errors_path(run: Path) -> Path:
    """Where :func:`write_ranking_errors` writes, in the folder of a run."""
    return run / "analysis" / "ranking_errors.json"


def read_kept_errors(run: Path, datasets: Sequence[str], num_images: int) -> dict[str, Any] | None:
    """What :func:`write_ranking_errors` has written of the run's last weights.

    Args:
        run: its folder. If it has lost its weights, those of the file count as the last.
        datasets: the one to score, and the training sets.
        num_images: least number that the file must rest on, unless these were all that there are.

    Returns:
        The file's content; None: there is none, or it is of other weights, annotations or an older
        rankdet, or of fewer images.
    """
    path = ranking_errors_path(run)
    kept = read_kept(path, datasets, RANKING_ERRORS)
    if kept is None or kept["num_images"] < min(num_images, kept["num_dataset_images"]):
        return None
    weights = last_checkpoint(str(run))
    if weights is None or not Path(weights).is_file():
        return kept
    # Names, for the folder may have been moved.
    is_same = Path(kept["checkpoint"]).name == Path(weights).name
    return kept if is_same and path.stat().st_mtime >= Path(weights).stat().st_mtime else None


def analyse_ranking_errors(
    model: GeneralizedRCNN, loader: Iterable[list[dict[str, Any]]], dataset: str, classes: Classes
) -> dict[str, Any]:
    """Score the proposals of a data set, see :func:`write_ranking_errors`.

    Args:
        model: of two stages.
        loader: batches of image dicts with "instances" and "image_id".
        dataset: registered name, whose annotation file says where which class is judged.
        classes: of the data set.

    Raises:
        ValueError: the model has no :class:`BoxPredictor`, or no proposal finds an object.
    """
    scores = ClassScores(box_predictors(model)[0].num_classes)
    judged = _judged_classes(dataset)
    num_images = num_proposals = 0
    for image in score_proposals(model, loader):
        image_judged = None if judged is None else judged[image.image["image_id"]]
        scores.add(image.scores, image.labels, image_judged)
        num_images += 1
        num_proposals += len(image.labels)
    errors = scores.errors()
    if not any(errors):
        raise ValueError(
            f"no proposal finds an object of {dataset!r}, so there is nothing to rank; train the "
            "model first, or choose another data set."
        )
    return {
        "dataset": dataset,
        "num_images": num_images,
        "num_proposals": num_proposals,
        **class_and_group_errors(errors, classes),
    }


def class_and_group_errors(errors: list[RankingErrors | None], classes: Classes) -> dict[str, Any]:
    """The "classes" and the "groups" of :func:`write_ranking_errors`.

    Args:
        errors: of each of the C classes; None: unknown.
        classes: their names and groups.
    """
    return {"classes": _class_records(errors, classes), "groups": _group_records(errors, classes)}


def _judged_classes(dataset: str) -> dict[int | str, set[int]] | None:
    metadata = ensure_dataset(dataset)
    path = annotation_path(metadata)
    if path is None:
        return None
    content = read_annotations(path, dataset_name=dataset, masks=False)
    categories = [category["id"] for category in content["categories"]]
    return judged_classes(content, class_ids(metadata, categories))


def _class_records(errors: list[RankingErrors | None], classes: Classes) -> list[dict[str, Any]]:
    unknown = dict.fromkeys(RankingErrors._fields)
    return [
        {
            "class_id": class_id,
            "name": name,
            "frequency": letter,
            **(unknown if of_class is None else of_class._asdict()),
        }
        for class_id, (name, letter, of_class) in enumerate(
            zip(classes.names, classes.groups, errors, strict=True)
        )
    ]


def _group_records(
    errors: list[RankingErrors | None], classes: Classes
) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for letter in LABELS:
        of_group = [e for e, of in zip(errors, classes.groups, strict=True) if e and of == letter]
        if of_group:
            groups[letter] = {
                "num_classes": len(of_group),
                "alpha": median(e.alpha for e in of_group),
                **{name: fmean(getattr(e, name) for e in of_group) for name in _MEANS},
                "offset": max(e.detection_error - e.linear_approximation for e in of_group),
            }
    return groups


def _summary(analysis: dict[str, Any]) -> str:
    rows = [
        [LABELS[letter], group["num_classes"], *(group[name] for name in ("alpha", *_MEANS))]
        for letter, group in analysis["groups"].items()
    ]
    headers = ["classes", "number", "alpha", "R", "1 - AP", "lower", "m R", "upper", "error"]
    text = tabulate(rows, headers=headers, floatfmt=("", "", ".0f", *[".3f"] * len(_MEANS)))
    num_unknown = sum(record["alpha"] is None for record in analysis["classes"])
    if num_unknown:
        text += (
            f"\nLeft out, without a positive or without a negative: {num_unknown} of "
            f"{len(analysis['classes'])} classes."
        )
    return (
        f"{analysis['dataset']}: {analysis['num_proposals']:,} proposals in "
        f"{analysis['num_images']:,} images; means over the classes (alpha: median). R: ranking "
        f"error; lower, m R, upper: of 1 - AP; error: of classification, no less than R.\n{text}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = tool_parser("ranking_errors", __doc__)
    parser.add_argument("run_folder", metavar="RUN_FOLDER", type=Path, help="its train.output_dir")
    parser.add_argument(
        "--dataset", metavar="NAME", help="with annotations; default: what the run tests on"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", type=Path, help="weights; default: the last of the run"
    )
    parser.add_argument(
        "--num-images",
        metavar="N",
        type=whole_number(1),
        help="spread over the data set; default: all",
    )
    add_trust(parser)
    return parser


if __name__ == "__main__":
    main()
