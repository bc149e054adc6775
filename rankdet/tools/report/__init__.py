"""One self-contained page about one or more runs."""

from rankdet.tools.report.writer import write_report

__all__ = ["write_report"]
