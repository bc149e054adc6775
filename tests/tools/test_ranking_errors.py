import io
import json
import math
import os
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from detectron2.config import LazyConfig
from detectron2.data import MetadataCatalog
from support.smoke_run import ONE_STAGE_OVERRIDES, ROOT

from rankdet.data.class_stats import load_dicts
from rankdet.engine.checkpoint import Checkpointer
from rankdet.engine.config import load_config
from rankdet.engine.training import build_model
from rankdet.tools import ranking_errors
from rankdet.tools.proposal_scores import annotated_loader, score_proposals
from rankdet.tools.ranking_errors import main, read_kept_errors, write_ranking_errors


@pytest.fixture(scope="module")
def run(untrained_run):
    return untrained_run


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


def test_some_images_are_spread_over_the_data_set(tmp_path, run, monkeypatch, capsys):
    seen = []
    scored = ranking_errors.score_proposals

    def score(*arguments):
        for image in scored(*arguments):
            seen.append(image.image["image_id"])
            yield image

    monkeypatch.setattr(ranking_errors, "score_proposals", score)
    run = Path(shutil.copytree(run, tmp_path / "run"))
    path = write_ranking_errors(run, num_images=4)
    ids = [record["image_id"] for record in load_dicts("glyphs_smoke_val")]
    assert seen == [ids[i * len(ids) // 4] for i in range(4)]
    analysis = json.loads(path.read_text())
    assert (analysis["num_images"], analysis["num_dataset_images"]) == (4, len(ids))
    assert f"of {run} on 4 of the {len(ids)} images of glyphs_smoke_val" in capsys.readouterr().out


def test_kept_errors_are_of_the_same_weights_and_of_enough_images(tmp_path, run):
    run = Path(shutil.copytree(run, tmp_path / "run", ignore=lambda *_: ["analysis"]))
    names = ["glyphs_smoke_val", "glyphs_smoke_train"]
    assert read_kept_errors(run, names, 3) is None
    path = write_ranking_errors(run, num_images=3)
    assert read_kept_errors(run, names, 3) == json.loads(path.read_text())
    assert read_kept_errors(run, names, 2) and not read_kept_errors(run, names, 4)
    assert read_kept_errors(run, names[1:], 3) is None
    weights = run / "model_final.pth"
    later = path.stat().st_mtime + 1
    os.utime(weights, (later, later))
    assert read_kept_errors(run, names, 3) is None
    os.utime(weights, (later - 9, later - 9))
    (run / "last_checkpoint").write_text(weights.rename(run / "model_0000009.pth").name)
    assert read_kept_errors(run, names, 3) is None
    (run / "model_0000009.pth").unlink()
    assert read_kept_errors(run, names, 3), "no weights, no newer ones"


def test_all_images_are_enough_for_any_number(written, run):
    analysis = json.loads(written.read_text())
    assert analysis["num_images"] == analysis["num_dataset_images"]
    assert read_kept_errors(run, ["glyphs_smoke_val", "glyphs_smoke_train"], 10**9) == analysis


def test_one_stage_model_is_named(tmp_path):
    config = str(ROOT / "configs/glyphs/retinanet_r18_fpn.py")
    cfg = load_config(config, [*ONE_STAGE_OVERRIDES, f"train.output_dir={tmp_path}"])
    Checkpointer(build_model(cfg), str(tmp_path)).save("model_final")
    LazyConfig.save(cfg, str(tmp_path / "config.yaml"))
    with pytest.raises(SystemExit, match="has no BoxPredictor for its detections, so it scores no"):
        main([str(tmp_path)])


def test_unknown_data_set_ends_with_a_sentence(run):
    with pytest.raises(SystemExit, match="'glyphs_smoke_vall' is not registered"):
        main([str(run), "--dataset", "glyphs_smoke_vall"])
