"""The points of a chart of a number over time. A template draws them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

WIDTH = 600
HEIGHT = 120
# Room for the circles at the edges.
_MARGIN = 6


class Point(NamedTuple):
    """A point of a chart. ``x`` and ``y`` are in the units of the chart, from its upper left corner."""

    x: float
    y: float
    moment: datetime
    value: int


class Trend(NamedTuple):
    """A chart.

    Attributes:
        points: The points, the oldest first.
        highest: The greatest value. The bottom of the chart is 0.
    """

    points: tuple[Point, ...]
    highest: int

    @property
    def line(self) -> str:
        """The points as an SVG polyline contains them."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)


def trend_of(values: Iterable[tuple[datetime, int | None]]) -> Trend:
    """Place values in a chart.

    Args:
        values: Times and values, in any order. Missing values are left out.

    Returns:
        The chart. Without a value, it has no points.
    """
    known = sorted((moment, value) for moment, value in values if value is not None)
    if not known:
        return Trend((), 0)
    first, last = known[0][0], known[-1][0]
    span = (last - first).total_seconds()
    highest = max(value for _, value in known)
    points = tuple(
        Point(
            x=_scale((moment - first).total_seconds() / span if span else 0.5, WIDTH),
            y=_scale(1 - (value / highest if highest else 0.0), HEIGHT),
            moment=moment,
            value=value,
        )
        for moment, value in known
    )
    return Trend(points, highest)


def _scale(share: float, length: int) -> float:
    return round(_MARGIN + share * (length - 2 * _MARGIN), 1)
