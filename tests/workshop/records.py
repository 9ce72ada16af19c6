"""Figures of the committed results."""

from __future__ import annotations

from converters.measurements.measured import read_measured
from edgeface.bundle import Measured


def on_record(network: str, metric: str, **wanted: str | None) -> Measured:
    """The one row of a network's results with this metric and these values."""
    rows = [
        row
        for row in read_measured(network)
        if row.metric == metric and all(getattr(row, key) == value for key, value in wanted.items())
    ]
    assert len(rows) == 1, f"{len(rows)} figures of {network}: {metric} {wanted}"
    return rows[0]
