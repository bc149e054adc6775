"""Command line tools: ``python -m rankdet.tools.<name>``."""
