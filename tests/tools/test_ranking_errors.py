import io
import json
import math
from contextlib import redirect_stdout

import pytest
from detectron2.config import LazyConfig
from detectron2.data import MetadataCatalog
from smoke_run import ONE_STAGE_OVERRIDES, ROOT, save_untrained_run

from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config
from rankdet.engine.train import build_model
from rankdet.tools.proposal_scores import annotated_loader, score_proposals
from rankdet.tools.ranking_errors import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_untrained_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def output(run):
    printed = io.StringIO()
    with redirect_stdout(printed):
        main([str(run)])
    return printed.getvalue()


@pytest.fixture
def written(run, output):
    return run / "analysis" / "ranking_errors.json"


def slow_pairs(run):
    """(positive scores, negative scores) of each class, judged by the annotation file."""
    cfg = load_config(str(run / "config.yaml"))
    model = build_model(cfg)
    Checkpointer(model).load_strictly(str(run / "model_final.pth"))
    with open(MetadataCatalog.get("glyphs_smoke_val").json_file) as file:
        content = json.load(file)
    pairs = [([], []) for _ in content["categories"]]
    for scored in score_proposals(model, annotated_loader(cfg)):
        image_id = scored.image["image_id"]
        (image,) = (one for one in content["images"] if one["id"] == image_id)
        present = {a["category_id"] for a in content["annotations"] if a["image_id"] == image_id}
        judged = {*image["neg_category_ids"], *present} - {*image["not_exhaustive_category_ids"]}
        for row, label in zip(scored.scores.tolist(), scored.labels.tolist(), strict=True):
            for c, (pos, neg) in enumerate(pairs):
                if label == c:
                    pos.append(row[c])
                elif c + 1 in judged:
                    neg.append(row[c])
    return pairs


def test_errors_of_each_class_are_written(run, written):
    analysis = json.loads(written.read_text())
    assert analysis["dataset"] == "glyphs_smoke_val"
    assert analysis["checkpoint"].endswith("model_final.pth")
    pairs = slow_pairs(run)
    known = 0
    for record, (pos, neg) in zip(analysis["classes"], pairs, strict=True):
        if not pos or not neg:
            assert record["ranking_error"] is None
            continue
        known += 1
        wrong = sum(p < n for p in pos for n in neg)
        assert (record["num_positives"], record["num_negatives"]) == (len(pos), len(neg))
        expected = wrong / len(pos) / len(neg)
        assert math.isclose(record["ranking_error"], expected, abs_tol=1e-12)
        assert record["lower_bound"] <= record["detection_error"] <= record["upper_bound"]
    assert known > 3


def test_groups_are_means_over_their_classes(written):
    analysis = json.loads(written.read_text())
    for letter, group in analysis["groups"].items():
        records = [r for r in analysis["classes"] if r["frequency"] == letter and r["alpha"]]
        mean = sum(r["detection_error"] for r in records) / len(records)
        assert group["num_classes"] == len(records)
        assert math.isclose(group["detection_error"], mean)
        gaps = [r["detection_error"] - r["linear_approximation"] for r in records]
        assert group["offset"] == max(gaps)


def test_prints_the_groups_and_draws(written, output):
    analysis = json.loads(written.read_text())
    assert f"{analysis['num_proposals']:,} proposals in {analysis['num_images']:,} images" in output
    for group in analysis["groups"].values():
        assert f"{group['detection_error']:.3f}" in output
    assert f"Picture: {written.with_suffix('.png')}" in output
    assert written.with_suffix(".png").stat().st_size > 10_000


def test_one_stage_model_is_named(tmp_path):
    config = str(ROOT / "configs/glyphs/retinanet_r18_fpn.py")
    cfg = load_config(config, [*ONE_STAGE_OVERRIDES, f"train.output_dir={tmp_path}"])
    Checkpointer(build_model(cfg), str(tmp_path)).save("model_final")
    LazyConfig.save(cfg, str(tmp_path / "config.yaml"))
    with pytest.raises(SystemExit, match="has no BoxPredictor, so it scores no proposals"):
        main([str(tmp_path)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/run"], r"no/run does not exist; give the train\.output_dir of a run"),
        (["RUN", "--checkpoint", "no.pth"], r"--checkpoint no\.pth does not exist"),
        (["RUN", "--dataset", "glyphs_smoke_vall"], "'glyphs_smoke_vall' is not registered"),
    ],
)
def test_bad_argument_ends_with_a_sentence(run, arguments, message):
    with pytest.raises(SystemExit, match=message):
        main([str(run) if argument == "RUN" else argument for argument in arguments])
