#!/usr/bin/env python
"""Train or evaluate an experiment: the same program as ``rankdet train``, in a checkout."""

import sys

from rankdet.cli import run

if __name__ == "__main__":
    run("train", sys.argv[1:])
