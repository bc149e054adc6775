"""What ECMLoss measures, and what a checkpoint does with it."""

import pytest
import torch
from support.loss_tester import NUM_CLASSES, learn_and_compute, random_batch

from rankdet.losses.ecm import ECMLoss

COUNTS = torch.tensor([1000, 50, 3, 200, 1])


class TestMeasuredRatio:
    labels = torch.tensor([0, 5, 5, 5, 5, 5, 5, 2])

    def measure(self, loss, labels):
        return learn_and_compute(loss, torch.zeros(len(labels), loss.num_logits), labels)

    def test_the_first_batch_already_counts(self):
        measured, fixed = ECMLoss(COUNTS), ECMLoss(COUNTS, background_ratio=3.0)
        value = self.measure(measured, self.labels)
        assert measured.background_ratio.item() == 3.0
        assert torch.equal(value, self.measure(fixed, self.labels))

    def test_later_batches_are_added_until_it_is_frozen(self):
        loss = ECMLoss(COUNTS)
        self.measure(loss, self.labels)
        self.measure(loss, torch.tensor([1, 1]))
        assert loss.background_ratio.item() == 6 / 4
        loss.freeze_background_ratio()
        self.measure(loss, self.labels)
        assert loss.background_ratio.item() == 6 / 4

    def test_labels_that_are_no_class_measure_nothing(self):
        loss = ECMLoss(COUNTS)
        loss.observe(torch.zeros(4, loss.num_logits), torch.tensor([-1, -1, 6, 5]))
        assert loss.num_samples.tolist() == [0, 1]

    @pytest.mark.parametrize("labels", [[5, 5], [0, 1], []])
    def test_one_sided_batches_stay_finite(self, labels):
        loss = ECMLoss(COUNTS)
        assert torch.isfinite(self.measure(loss, torch.tensor(labels, dtype=torch.int64)))
        assert torch.isfinite(loss.bias).all() and torch.isfinite(loss.weights).all()

    def test_backward_after_another_forward(self):
        loss = ECMLoss(COUNTS)
        logits, labels = random_batch(9, NUM_CLASSES + 1)
        first = learn_and_compute(loss, logits, labels)
        loss.observe(logits, self.labels[:1].expand(9))
        first.backward()

    def test_resumed_measurement_equals_an_uninterrupted_one(self):
        whole, before = ECMLoss(COUNTS), ECMLoss(COUNTS)
        for loss in (whole, before):
            self.measure(loss, self.labels)
        after = ECMLoss(COUNTS)
        after.load_state_dict(before.state_dict())
        more = torch.tensor([0, 1, 5])
        assert torch.equal(self.measure(after, more), self.measure(whole, more))
        assert torch.equal(after.background_ratio, whole.background_ratio)

    def test_a_frozen_ratio_stays_frozen_in_the_checkpoint(self):
        loss = ECMLoss(COUNTS)
        self.measure(loss, self.labels)
        loss.freeze_background_ratio()
        resumed = ECMLoss(COUNTS)
        resumed.load_state_dict(loss.state_dict())
        self.measure(resumed, torch.tensor([0, 0, 0]))
        assert resumed.background_ratio.item() == 3.0
        assert torch.equal(resumed.bias, loss.bias)


class TestCheckpointRules:
    def test_configured_counts_win_with_a_warning(self, caplog):
        loss = ECMLoss(COUNTS + torch.tensor([0, 1, 0, 1, 0]), background_ratio=2.0)
        loss.load_state_dict(ECMLoss(COUNTS, background_ratio=2.0).state_dict())
        assert "class_counts differ from the configured ones in 2 of 5 classes" in caplog.text
        assert loss.class_counts.tolist() == [1000, 51, 3, 201, 1]

    def test_configured_ratio_wins_with_a_warning(self, caplog):
        loss = ECMLoss(COUNTS, background_ratio=2.0)
        loss.load_state_dict(ECMLoss(COUNTS, background_ratio=3.0).state_dict())
        assert "ratio 3.0000 differs from the configured 2.0000" in caplog.text
        assert loss.background_ratio.item() == 2.0

    @pytest.mark.parametrize("counts", [COUNTS + 1, COUNTS[:2]], ids=["counts", "classes"])
    def test_fine_tuning_on_other_data_measures_anew(self, counts, caplog):
        trained, tuned = ECMLoss(COUNTS), ECMLoss(counts)
        trained.observe(torch.zeros(4, 6), torch.tensor([0, 5, 5, 5]))
        trained.freeze_background_ratio()
        state = trained.state_dict()
        if len(counts) != len(COUNTS):
            state.pop("class_counts")  # as Detectron2's checkpointer does
        tuned.load_state_dict(state, strict=False)
        assert "its background ratio is not taken over" in caplog.text
        assert tuned.is_measuring and tuned.num_samples.tolist() == [0, 0]
        assert torch.equal(tuned.class_counts, counts.double())
        tuned.observe(torch.zeros(3, len(counts) + 1), torch.tensor([0, 1, len(counts)]))
        assert tuned.background_ratio.item() == 0.5

    def test_a_pretrained_backbone_changes_nothing(self, caplog):
        loss = ECMLoss(COUNTS)
        loss.load_state_dict({}, strict=False)
        assert loss.is_measuring and not caplog.text

    def test_the_same_configuration_loads_in_silence(self, caplog):
        ECMLoss(COUNTS, 2.0).load_state_dict(ECMLoss(COUNTS, 2.0).state_dict())
        assert not caplog.text

    def test_another_number_of_classes_is_refused(self):
        with pytest.raises(RuntimeError, match="size mismatch"):
            ECMLoss([1, 2]).load_state_dict(ECMLoss(COUNTS).state_dict())
