"""One-stage detectors on LVIS v1 as in the ECM paper, appendix F; its authors released none.

300 detections, score threshold 1e-4, twice as many candidates per level of ATSS and VarifocalNet,
learning rate 0.01, batch 16, 12 or 24 epochs. "For all other settings, we follow the two-stage
experiments": so here are their repeat factor sampling, augmentation and schedules and, for ECM,
their warm-up and gradient clipping. Classifiers have no cosine layers, which are part of the
two-stage detectors there.
"""

lvis = dict(num_classes=1203, test_score_thresh=1e-4, max_detections_per_image=300)
num_candidates = 18
lr = 0.01
