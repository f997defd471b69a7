"""Charts of a report as inline SVG: no script, no style attribute, colours of the text around them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from training.evaluation.page.images import ramp

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 14, 40
TICKS = 5


class Scale(NamedTuple):
    """Numbers ``low`` to ``high`` on pixels ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def scales(x: tuple[float, float], y: tuple[float, float]) -> tuple[Scale, Scale]:
    """Of the plot's area; y grows upwards."""
    return Scale(*x, LEFT, WIDTH - RIGHT), Scale(*y, HEIGHT - BOTTOM, TOP)


def line_chart(points: Sequence[tuple[float, float, float]], titles: tuple[str, str]) -> str:
    """(x, y, half width) joined by a line, each with its interval."""
    top = max(y + error for _, y, error in points)
    sx, sy = scales((0, max(x for x, _, _ in points)), (0, max(top, 1e-9)))
    line = " ".join(f"{sx(x):.1f},{sy(y):.1f}" for x, y, _ in points)
    bars = "".join(
        f'<line class="faint" x1="{sx(x):.1f}" x2="{sx(x):.1f}" y1="{sy(y - e):.1f}" y2="{sy(y + e):.1f}"/>'
        for x, y, e in points
    )
    return _svg(f'{bars}<polyline class="series" points="{line}"/>', sx, sy, titles)


def histogram(counts: Sequence[int], top: float, mark: float, mark_name: str, titles: tuple[str, str]) -> str:
    """Equal bins from 0 to ``top``, and a vertical line at ``mark``."""
    sx, sy = scales((0, top), (0, max(*counts, 1)))
    step = top / len(counts)
    bars = "".join(
        f'<rect class="bar" x="{sx(i * step):.1f}" width="{max(0.5, sx(step) - sx(0) - 1):.1f}" y="{sy(count):.1f}" '
        f'height="{sy(0) - sy(count):.1f}"><title>{count}</title></rect>'
        for i, count in enumerate(counts)
    )
    at = sx(mark)
    line = f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    return _svg(f"{bars}{line}{_text(at - 4, TOP + 10, mark_name, 'end')}", sx, sy, titles)


def grouped_bars(groups: dict[str, Sequence[float]], titles: tuple[str, str]) -> str:
    """A bar of each series at every class 0, 1, ...; at most three series."""
    classes = max(map(len, groups.values()))
    sx, sy = scales((0, classes), (0, max(max(values) for values in groups.values())))
    wide = (sx(1) - sx(0)) * 0.8 / len(groups)
    parts = []
    for index, (name, values) in enumerate(groups.items()):
        for i, value in enumerate(values):
            x = sx(i + 0.1) + index * wide
            parts.append(
                f'<rect class="s{index}" x="{x:.1f}" width="{wide:.1f}" y="{sy(value):.1f}" '
                f'height="{sy(0) - sy(value):.1f}"><title>{escape(name)} {i}: {value:.4f}</title></rect>'
            )
        parts.append(f'<rect class="s{index}" x="{LEFT + 8 + 110 * index}" y="{TOP - 8}" width="10" height="10"/>')
        parts.append(_text(LEFT + 22 + 110 * index, TOP + 1, name))
    return _svg("".join(parts), sx, sy, titles)


def front(points: dict[str, tuple[float, float, float]], titles: tuple[str, str], colour: str) -> str:
    """Named (x, y, shade in [0, 1]) as dots, the axes around them; ``colour`` says what the shade is."""
    xs, ys = ([point[axis] for point in points.values()] for axis in (0, 1))
    sx, sy = scales(_around(xs, 0.1, 0.35), _around(ys, 0.1, 0.1))  # names stand to the right of their dots
    parts = []
    for name, (x, y, shade) in points.items():
        r, g, b = ramp(np.float32(shade)).tolist()  # type: ignore[arg-type]
        fill = f"rgb({r},{g},{b})"
        told = escape(f"{name}: {colour} {shade:.3f}")
        dot = (
            f'<circle class="dot" cx="{sx(x):.1f}" cy="{sy(y):.1f}" r="7" fill="{fill}"><title>{told}</title></circle>'
        )
        parts.append(dot + _text(sx(x) + 10, sy(y) + 4, name))
    return _svg("".join(parts), sx, sy, titles)


def _svg(inside: str, sx: Scale, sy: Scale, titles: tuple[str, str]) -> str:
    floor = HEIGHT - BOTTOM
    axes = f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>'
    ticks = "".join(_text(sx(v), floor + 15, f"{v:.3g}", "middle") for v in _ticks(sx))
    ticks += "".join(_text(LEFT - 5, sy(v) + 4, f"{v:.3g}", "end") for v in _ticks(sy))
    names = _text(WIDTH - RIGHT, HEIGHT - 6, titles[0], "end") + _text(4, HEIGHT - 6, titles[1])
    label = escape(f"{titles[1]} over {titles[0]}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{axes}{ticks}{names}{inside}</svg>'


def _around(values: Sequence[float], before: float, behind: float) -> tuple[float, float]:
    """The range of ``values`` with shares of it before and behind."""
    span = (max(values) - min(values)) or abs(max(values)) or 1.0
    return min(values) - before * span, max(values) + behind * span


def _ticks(scale: Scale) -> list[float]:
    return [scale.low + (scale.high - scale.low) * i / (TICKS - 1) for i in range(TICKS)]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
