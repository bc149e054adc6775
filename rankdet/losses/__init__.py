"""Losses as pure tensor functions with thin modules; importable with torch alone.

Import a loss from its module: ``from rankdet.losses.ecm import ECMLoss``.

Letters used in this package: N samples (proposals), C foreground classes. ``logits`` are real
numbers, ``labels`` are int64 in [0, C] where C is background.
"""
