import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankdet.modeling.calibration import (
    ConfusionCalibration,
    ConfusionStatistics,
    MeanScoreCalibration,
    NorCal,
    calibrate_by_transfer,
    confusion_transfer,
    foreground_probs,
    load_statistics,
    save_statistics,
)

C = 4
COUNTS = [500, 40, 0, 3]


def softmax_scores(seed=0, num_samples=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_samples, C + 1, generator=generator, dtype=torch.float64).softmax(1)


def random_statistics(seed=0, unseen=()):
    matrix = torch.randn(C, C, generator=torch.Generator().manual_seed(seed + 99)).softmax(1)
    num_samples = torch.tensor([9, 5, 2, 1])
    for i in unseen:
        matrix[i], num_samples[i] = 0, 0
    return ConfusionStatistics(matrix, num_samples)


@pytest.fixture
def make(tmp_path):
    """Builds a calibration from statistics that went through a file."""

    def build(kind, statistics):
        save_statistics(tmp_path / "calibration.pth", statistics)
        return kind(tmp_path / "calibration.pth")

    return build


def rescaled(foreground, background):
    """PCB section 3.2: foreground to sum 1, then times 1 - background."""
    total = sum(foreground)
    return [p / total * (1 - background) for p in foreground] + [background]


def slow_confusion(row, matrix):
    """PCB eqs. 1, 5, 6 on one sample, as lists of numbers."""
    *foreground, background = row
    probs = [p / sum(foreground) for p in foreground]
    column_sums = [sum(matrix[k][j] for k in range(C)) for j in range(C)]
    calibrated = [sum(matrix[i][j] / column_sums[j] * probs[j] for j in range(C)) for i in range(C)]
    return rescaled(calibrated, background)


def slow_mean_score(row, matrix):
    """PCB eqs. 1, 8 on one sample."""
    *foreground, background = row
    return rescaled(
        [p / sum(foreground) / matrix[i][i] for i, p in enumerate(foreground)], background
    )


def slow_norcal(row, counts, gamma):
    divided = [p / max(n, 1) ** gamma for p, n in zip(row, [*counts, 1], strict=True)]
    return [p / sum(divided) for p in divided]


@pytest.mark.parametrize(
    ("kind", "slow"),
    [(ConfusionCalibration, slow_confusion), (MeanScoreCalibration, slow_mean_score)],
)
def test_equals_the_equations(make, kind, slow):
    scores, statistics = softmax_scores(), random_statistics()
    calibrated = make(kind, statistics)(scores)
    expected = [slow(row, statistics.matrix.double().tolist()) for row in scores.tolist()]
    torch.testing.assert_close(calibrated, torch.tensor(expected).double(), rtol=1e-6, atol=1e-7)
    assert torch.equal(calibrated[:, -1], scores[:, -1])
    torch.testing.assert_close(calibrated.sum(1), torch.ones(6).double())


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_norcal_equals_its_equation(gamma):
    scores = softmax_scores()
    calibrated = NorCal(COUNTS, gamma)(scores)
    expected = [slow_norcal(row, COUNTS, gamma) for row in scores.tolist()]
    torch.testing.assert_close(calibrated, torch.tensor(expected).double(), rtol=1e-6, atol=1e-7)
    assert (calibrated[:, -1] > scores[:, -1]).all()


def test_a_larger_confusion_moves_more_of_the_score():
    # Half of the rare class 1 is taken for class 0, and never the reverse.
    statistics = ConfusionStatistics(torch.tensor([[1.0, 0], [0.5, 0.5]]), torch.tensor([8, 8]))
    scores = torch.tensor([[0.6, 0.2, 0.2]])
    calibrated = calibrate_by_transfer(scores, confusion_transfer(statistics))
    torch.testing.assert_close(calibrated, torch.tensor([[0.4, 0.4, 0.2]]))


@given(seed=st.integers(0, 1000))
def test_what_knows_no_bias_changes_nothing(seed):
    scores = softmax_scores(seed)
    perfect = ConfusionStatistics(torch.eye(C), torch.ones(C, dtype=torch.int64))
    same = calibrate_by_transfer(scores, confusion_transfer(perfect))
    assert torch.equal(same, scores)
    for norcal in (NorCal(COUNTS, 0.0), NorCal([1] * C, 0.7)):
        assert torch.equal(norcal(scores), scores)


@given(seed=st.integers(0, 1000), count=st.integers(1, 10**6))
def test_equal_classes_keep_their_ratios(seed, count):
    scores = softmax_scores(seed)
    calibrated = NorCal([count] * C, 0.6)(scores)
    torch.testing.assert_close(foreground_probs(calibrated), foreground_probs(scores))


def test_equal_mean_scores_change_nothing(make):
    statistics = ConfusionStatistics(torch.full((C, C), 0.25), torch.ones(C, dtype=torch.int64))
    scores = softmax_scores()
    torch.testing.assert_close(make(MeanScoreCalibration, statistics)(scores), scores)


@pytest.mark.parametrize("kind", [ConfusionCalibration, MeanScoreCalibration])
def test_unseen_classes_keep_their_scores_with_a_warning(make, kind, caplog):
    scores = softmax_scores()
    with caplog.at_level(logging.WARNING):
        calibrated = make(kind, random_statistics(unseen=[1, 3]))(scores)
    assert "has no sample of 2 of 4 classes; their scores are not calibrated" in caplog.text
    torch.testing.assert_close(calibrated.sum(1), scores.sum(1))
    assert not torch.isclose(calibrated[:, [0, 2]], scores[:, [0, 2]]).any()
    assert torch.equal(calibrated[:, [1, 3, 4]], scores[:, [1, 3, 4]])


@pytest.mark.parametrize("kind", [ConfusionCalibration, MeanScoreCalibration])
def test_one_vs_all_scores_keep_their_sum(make, kind):
    scores = softmax_scores() * torch.tensor([0.1, 0.3, 0.2, 0.4, 0.9])
    calibrated = make(kind, random_statistics())(scores)
    torch.testing.assert_close(calibrated.sum(1), scores.sum(1))
    assert not torch.allclose(calibrated, scores)


@pytest.mark.parametrize("kind", [ConfusionCalibration, MeanScoreCalibration])
def test_extreme_scores_stay_scores(make, kind):
    statistics = random_statistics()
    statistics.matrix[2] = torch.tensor([1.0, 0, 0, 0])  # Always mistaken: mean score 0.
    rows = [[0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 1e-38, 0, 0]]
    for calibration in (make(kind, statistics), NorCal(COUNTS, 2.0)):
        calibrated = calibration(torch.tensor(rows, dtype=torch.float32))
        assert ((calibrated >= 0) & (calibrated <= 1)).all()
        assert torch.equal(calibrated[2], torch.zeros(C + 1))
        assert calibration(torch.zeros(0, C + 1)).shape == (0, C + 1)


def test_foreground_probs_are_the_softmax_of_the_foreground():
    logits = torch.randn(5, C + 1, dtype=torch.float64)
    torch.testing.assert_close(foreground_probs(logits.softmax(1)), logits[:, :-1].softmax(1))


def test_state_stays_out_of_checkpoints(make):
    calibrations = [make(ConfusionCalibration, random_statistics()), NorCal(COUNTS, 0.5)]
    calibrations.append(make(MeanScoreCalibration, random_statistics()))
    assert all(not x.state_dict() and list(x.buffers()) for x in calibrations)


def test_missing_and_damaged_files_are_named(tmp_path):
    path = tmp_path / "calibration.pth"
    with pytest.raises(FileNotFoundError, match=r"does not exist; write it with `python -m rank"):
        ConfusionCalibration(path)
    for content in ({"model": {}}, [1, 2], {"matrix": torch.eye(3), "num_samples": torch.ones(2)}):
        torch.save(content, path)
        with pytest.raises(ValueError, match="is no calibration file, or damaged"):
            load_statistics(path)
    path.write_bytes(b"no tensor")
    with pytest.raises(ValueError, match="is no calibration file, or damaged"):
        MeanScoreCalibration(path)


@pytest.mark.parametrize("gamma", [-0.1, float("inf"), float("nan")])
def test_bad_gamma_is_named(gamma):
    with pytest.raises(ValueError, match=r"gamma is .*finite and >= 0"):
        NorCal(COUNTS, gamma)
