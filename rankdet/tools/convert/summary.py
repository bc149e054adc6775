"""What a conversion has done, for its user."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rankdet.tools.convert.rules import Conversion, Converted

_MAX_NAMES = 4


def summarize(conversion: Conversion, result: Converted, notes: Mapping[str, Sequence[str]]) -> str:
    """Say what was used, changed, ignored, filled and assumed.

    Args:
        conversion: both sides.
        result: of the rules.
        notes: of :func:`rankdet.tools.convert.completion.complete`.
    """
    source = conversion.source
    ignored = sum(map(len, result.ignored.values()))
    used = len(source.weights) - ignored
    lines = [f"Used {used} of the checkpoint's {len(source.weights)} weights."]
    lines += _section("Changed", _changes(result))
    lines += _section("Ignored", result.ignored)
    lines += _section("Not from the checkpoint", notes)
    if source.other_parts:
        lines.append(f"Left out besides weights: {_some(source.other_parts)}.")
    lines += [f"Assumed: {sentence}." for sentence in conversion.assumptions]
    return "\n".join(lines)


def _changes(result: Converted) -> dict[str, list[str]]:
    by_change: dict[str, list[str]] = defaultdict(list)
    for name, used in result.used.items():
        for change in used.changes:
            by_change[change].append(name)
    return by_change


def _section(title: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{title}: {what} ({len(one)}): {_some(one)}." for what, one in names.items()]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _MAX_NAMES
    return ", ".join(listed[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
