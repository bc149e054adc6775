"""Turns checkpoints of mmdetection, and of the forks of papers, into checkpoints of rankdet.

Letters: C foreground classes, A anchors per location.
"""
