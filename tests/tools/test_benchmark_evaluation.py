"""The benchmark of evaluation compares the same AP, and its data have what they are said to."""

import numpy as np
import pytest

from rankdet.evaluation.lvis_scoring import score_lvis
from rankdet.tools.benchmark import evaluation
from rankdet.tools.benchmark.lvis_like_data import federated_annotations, random_detections


@pytest.mark.parametrize("task", ["bbox", pytest.param("segm", marks=pytest.mark.slow)])
def test_data_are_federated_and_detections_near_the_objects(task: str) -> None:
    rng = np.random.default_rng(0)
    content = federated_annotations(20, rng)
    results = random_detections(content, 50, task, rng)
    assert (len(content["images"]), len(results)) == (20, 20 * 50)
    for image in content["images"]:
        of_image = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        classes = {a["category_id"] for a in of_image}
        assert 6 <= len(of_image) <= 19
        assert not classes & set(image["neg_category_ids"])
        found = [r["category_id"] in classes for r in results if r["image_id"] == image["id"]]
        assert 5 < sum(found) < 30
    assert ("segmentation" in results[0]) == (task == "segm")
    assert 5 < score_lvis(content, results, task).metrics["AP"] < 95


@pytest.mark.parametrize("task", ["bbox", pytest.param("segm", marks=pytest.mark.slow)])
def test_prints_each_scorer_and_compares_the_same_ap(
    task: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import lvis.eval

    monkeypatch.setattr(lvis.eval, "np", lvis.eval.np)  # the benchmark replaces it
    monkeypatch.setattr(evaluation, "measure", evaluation._measure_here)  # no new processes
    options = ["--images", "4", "--full-images", "6", "--detections", "20", "--task", task]
    evaluation.main(options)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[3:7]]
    assert [row[-6:-4] for row in rows[:3]] == [["lvis", "4"], ["rankdet", "4"], ["rankdet", "6"]]
    assert lines[6].startswith("rankdet, Fixed AP")
    assert 0 < float(rows[0][2]) == pytest.approx(float(rows[1][2]), abs=1e-5)
    assert lines[7].startswith("lvis takes ")
