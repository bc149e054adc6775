"""What was promised, how often it was tried, and what killed the trainings."""

from collections import Counter
from pathlib import Path

from tabulate import tabulate


class Promises:
    """Counts how often each promise was tried and how often it was kept."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()

    def check(self, promise: str, is_kept: bool, where: Path) -> None:
        self.tried[promise] += 1
        self.kept[promise] += is_kept
        if not is_kept:
            print(f"BROKEN: {promise}: {where}", flush=True)

    @property
    def are_kept(self) -> bool:
        return self.kept == self.tried

    def __str__(self) -> str:
        rows = [[name, self.tried[name], self.kept[name]] for name in self.tried]
        kills = [[how, number] for how, number in sorted(self.kills.items())]
        kills.append(["all", self.kills.total()])
        return "\n\n".join(
            [tabulate(rows, ["promise", "tried", "kept"]), tabulate(kills, ["kills", "number"])]
        )
