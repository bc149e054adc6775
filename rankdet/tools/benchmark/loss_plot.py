"""Plot of the time of ranking losses over the number of logits, both logarithmic."""

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from rankdet.tools.benchmark.loss_cells import LOSSES
from rankdet.tools.benchmark.loss_tables import Results, measured, short, sort_seconds

STYLES = {
    "exact": ("tab:blue", "o"),
    "bucketed": ("tab:orange", "s"),
    "pairwise": ("tab:red", "^"),
}
MIN_RATIO_OF_NAMED_ENDS = 1.8


def plot(results: Results, where: str) -> Figure:
    """Draw a panel per loss with a line per algorithm and percentage of positives.

    Args:
        results: of one device.
        where: device and threads, for the title.
    """
    losses = list(dict.fromkeys(cell.loss for cell in results))
    figure = Figure(figsize=(1 + 3.6 * len(losses), 5.4), layout="constrained")
    figure.suptitle(f"Forward and backward of the ranking losses next to one sort ({where})")
    panels = figure.subplots(1, len(losses), sharex=True, sharey=True, squeeze=False)[0]
    for axes, loss in zip(panels, losses, strict=True):
        _draw_sort(axes, results)
        for algorithm in reversed(LOSSES[loss].algorithms):  # the exact one on top
            _draw_algorithm(axes, results, loss, algorithm)
        axes.set_title(f"{LOSSES[loss].label} Loss")
        _format(axes, sorted({cell.size for cell in results}))
    _add_legend(figure, panels)
    return figure


def _draw_sort(axes: Axes, results: Results) -> None:
    lowest: dict[int, float] = {}
    for (size, _), seconds in sorted(sort_seconds(results).items()):
        lowest[size] = min(seconds, lowest.get(size, seconds))
    axes.plot(
        list(lowest), list(lowest.values()), "--", color="black", label="torch.sort", zorder=3
    )


def _draw_algorithm(axes: Axes, results: Results, loss: str, algorithm: str) -> None:
    """A line per percentage; between the first and the last one it is shaded."""
    lines: dict[float, dict[int, float]] = {}
    for cell, result in measured(results).items():
        if (cell.loss, cell.algorithm) == (loss, algorithm):
            lines.setdefault(cell.percent, {})[cell.size] = result.seconds
    if not lines:
        return
    color, marker = STYLES[algorithm]
    for percent, line in lines.items():
        label = algorithm if percent == min(lines) else None
        points = list(line), list(line.values())
        axes.plot(*points, label=label, color=color, marker=marker, ms=4, lw=1)
    few, many = lines[min(lines)], lines[max(lines)]
    shared = [size for size in few if size in many]
    low, high = ([line[size] for size in shared] for line in (few, many))
    axes.fill_between(shared, low, high, color=color, alpha=0.2, linewidth=0)
    _name_ends(axes, lines, color)


def _name_ends(axes: Axes, lines: dict[float, dict[int, float]], color: str) -> None:
    """Write the percentage beside the outer ends of lines, unless they are close together."""
    by_size: dict[int, dict[float, float]] = {}
    for percent, line in lines.items():
        by_size.setdefault(max(line), {})[percent] = line[max(line)]
    for size, ends in by_size.items():
        outer = {min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)}
        is_apart = max(ends.values()) > MIN_RATIO_OF_NAMED_ENDS * min(ends.values())
        for percent in outer if is_apart or len(by_size) > 1 else ():
            axes.annotate(
                f"{percent:g} %",
                (size, ends[percent]),
                xytext=(5, 0),
                textcoords="offset points",
                color=color,
                fontsize=9,
                verticalalignment="center",
            )


def _format(axes: Axes, sizes: list[int]) -> None:
    axes.set(xscale="log", yscale="log", xlabel="number of logits L")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda size, _: short(round(size)))
    axes.yaxis.set_major_locator(LogLocator(numticks=20))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g} s" if y > 0.9 else f"{1000 * y:g} ms")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlim(sizes[0] * 0.8, sizes[-1] * 2.5)  # room for the names of the ends
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure, panels: list[Axes]) -> None:
    handles: dict[str, Artist] = {}
    for axes in panels:
        handles |= {
            str(handle.get_label()): handle for handle in axes.get_legend_handles_labels()[0]
        }
    figure.legend(
        handles=[handles[name] for name in ("torch.sort", *STYLES) if name in handles],
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        title="A line per share of positives; the outer ones are named where they are apart. "
        "Lines end early where a repetition would take too long.",
    )
