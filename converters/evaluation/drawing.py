"""Pictures of results: bars with intervals, curves, and confusion matrices, as PNG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from converters.evaluation.statistics import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

DPI = 110
BAR_INCHES = 0.28
"""Height of one bar with its label."""
FEWEST = 4
"""Bars for which there is always room, and for the title beside them."""
WRAP = 110
INK, MUTED = "#1f4e79", "#9bb7d4"
COLOURS = ("#1f4e79", "#c55a11", "#548235", "#7030a0", "#806000", "#404040")
DARK = 0.55
"""Share of the scale above which a cell's text is white."""


def canvas(width: float, height: float, title: str) -> Drawing:
    """Return an empty drawing of so many inches with a title; nothing of it is global."""
    from matplotlib.figure import Figure as Made  # --help should not wait for it

    drawing = Made(figsize=(width, height), dpi=DPI, layout="constrained")
    drawing.suptitle("\n".join(textwrap.wrap(title, WRAP)), fontsize=10)
    return drawing


def png(drawing: Drawing) -> bytes:
    """Bytes of the picture, without the name of the program that made it."""
    made = io.BytesIO()
    drawing.savefig(made, format="png", metadata={"Software": None})
    return made.getvalue()


def bars_height(count: int) -> float:
    """Inches that so many bars need, with their axis."""
    return 1.0 + BAR_INCHES * max(count, FEWEST)


def bars(
    axes: Axes,
    figures: Mapping[str, Figure],
    *,
    title: str,
    unit: str = "",
    scale: float = 1.0,
    strong: str = "all",
    counts: bool = True,
) -> None:
    """Horizontal bars with their intervals and, if wanted, counts, first on top; the bar ``strong`` stands out.

    ``scale`` multiplies values before they are shown: 100 for shares in percent.
    """
    names = list(figures)
    values = np.array([figures[name].value for name in names]) * scale
    reach = np.array([_reach(figures[name]) for name in names]).reshape(-1, 2).T * scale
    rows = np.arange(len(names))
    axes.barh(rows, values, color=[INK if name == strong else MUTED for name in names], height=0.7)
    axes.errorbar(values, rows, xerr=reach, fmt="none", ecolor="#222222", elinewidth=0.9, capsize=2)
    axes.set_yticks(rows, [f"{name} (n {figures[name].count})" if counts else name for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    ends = values + reach[1]
    span = float(ends.max()) if len(ends) else 1.0
    for row, (value, end) in enumerate(zip(values, ends, strict=True)):
        axes.text(end + 0.01 * span, row, f"{value:.1f}" if scale == 100 else f"{value:.2f}", va="center", fontsize=7)
    axes.set_xlim(0, 1.12 * max(span, 1e-6))
    axes.set_xlabel(unit, fontsize=8)
    axes.set_title(title, fontsize=9)
    _quiet(axes)


def curves(
    axes: Axes,
    lines: Mapping[str, tuple[Sequence[float] | npt.NDArray[Any], Sequence[float] | npt.NDArray[Any]]],
    *,
    title: str,
    x: str,
    y: str,
    limits: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    """Curves by name over one pair of axes."""
    for colour, (name, (xs, ys)) in zip(COLOURS * len(lines), lines.items(), strict=False):
        axes.plot(xs, ys, label=name, color=colour, linewidth=1.4)
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    if len(lines) > 1 or next(iter(lines), ""):
        axes.legend(fontsize=7, loc="best")
    _quiet(axes)


def matrix(axes: Axes, counts: npt.NDArray[Any], labels: Sequence[str], *, title: str) -> None:
    """Draw a confusion matrix, rows the truth, with what follows from it on its rims.

    Cells show the count and its share of the true class. Right of a row stand sensitivity and miss rate, below a column
    precision and false discovery rate, in percent.
    """
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = len(labels)
    for row in range(size):
        for column in range(size):
            colour = "white" if shares[row, column] > DARK else "#222222"
            text = f"{counts[row, column]}\n{100 * shares[row, column]:.0f} %"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        hit = f"{100 * shares[row, row]:.1f} / {100 * (1 - shares[row, row]):.1f}" if total[row] else "-"
        axes.text(size - 0.4, row, hit, ha="left", va="center", fontsize=7)
        said = counts[:, row].sum()
        right = counts[row, row] / said if said else None
        below = "-" if right is None else f"{100 * right:.1f}\n{100 * (1 - right):.1f}"
        axes.text(row, size - 0.4, below, ha="center", va="top", fontsize=7)
    axes.text(size - 0.4, -0.6, "sensitivity /\nmiss rate", ha="left", va="bottom", fontsize=6.5)
    axes.text(-0.6, size - 0.4, "precision\nfalse disc.", ha="right", va="top", fontsize=6.5)
    axes.set_xticks(range(size), labels, fontsize=7.5, rotation=30, ha="left")
    axes.xaxis.tick_top()
    axes.set_yticks(range(size), labels, fontsize=7.5)
    axes.set_xlabel("")
    axes.set_ylabel("truth", fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _reach(figure: Figure) -> tuple[float, float]:
    if figure.low is None or figure.high is None:
        return 0.0, 0.0
    return max(0.0, figure.value - figure.low), max(0.0, figure.high - figure.value)


def _quiet(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
