"""One-stage detectors whose assignment, losses and box scores are injected.

Letters used in this package: I images, A anchors of all levels of an image in the order that
Detectron2's ``DenseDetector`` has (level, row, column, anchor of the cell), C classes, F foreground
anchors of all images, image by image.
"""
