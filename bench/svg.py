# SPDX-License-Identifier: Apache-2.0
"""A line chart with logarithmic axes, as SVG."""

import math
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 76, 180, 48, 56
# Told apart by most colour-blind readers, and by their order from the top in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


class Point(NamedTuple):
    x: float
    y: float
    low: float
    high: float


class Style(NamedTuple):
    """Of a line."""

    colour: str
    dashed: bool = False


class Axis:
    """A logarithmic scale from a little below the least value to a little above the most."""

    def __init__(self, values, start, end):
        self.low = math.log10(min(values)) - 0.05
        self.high = math.log10(max(values)) + 0.05
        self.start = start
        self.end = end

    def __call__(self, value):
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self):
        """Powers of ten, and where there are few, their double and fivefold too."""
        for steps in ((1,), (1, 2, 5), range(1, 10)):
            found = [step * 10.0**power
                     for power in range(math.floor(self.low), math.ceil(self.high) + 1)
                     for step in steps
                     if self.low <= math.log10(step * 10.0**power) <= self.high]
            if len(found) >= 3:
                break
        return found


def text(x, y, content, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(content)}</text>'


def line(x1, y1, x2, y2, colour, width=1):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def draw_axes(title, labels, x_axis, x_values, y_axis):
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [text(LEFT, 24, title, "start", ' font-size="15" font-weight="bold"'),
             text((LEFT + right) / 2, HEIGHT - 14, labels[0]),
             text(18, (TOP + bottom) / 2, labels[1], "middle",
                  f' transform="rotate(-90 18 {(TOP + bottom) / 2:.1f})"')]
    for value in y_axis.ticks():
        parts.append(line(LEFT, y_axis(value), right, y_axis(value), "#ddd"))
        parts.append(text(LEFT - 8, y_axis(value) + 4, f"{value:g}", "end"))
    for value in x_values:
        parts.append(line(x_axis(value), TOP, x_axis(value), bottom, "#eee"))
        parts.append(text(x_axis(value), bottom + 18, f"{value:,g}"
                          if value < 1e6 else f"{value / 1e6:g} M"))
    parts.append(line(LEFT, bottom, right, bottom, "#444"))
    return parts


def draw_series(name, points, style, x_axis, y_axis, label_y):
    colour = style.colour
    dashes = ' stroke-dasharray="6 4"' if style.dashed else ""
    path = " ".join(f"{x_axis(point.x):.1f},{y_axis(point.y):.1f}" for point in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"'
             f'{dashes}/>']
    for point in points:
        x = x_axis(point.x)
        parts.append(line(x, y_axis(point.low), x, y_axis(point.high), colour))
        parts.append(f'<circle cx="{x:.1f}" cy="{y_axis(point.y):.1f}" r="3.5" fill="{colour}"/>')
    parts.append(text(x_axis(points[-1].x) + 12, label_y + 4, name, "start", f' fill="{colour}"'))
    return parts


def label_places(ends):
    """Where the names of the lines stand: at their ends, but not upon each other."""
    places, last = {}, -math.inf
    for name, y in sorted(ends.items(), key=lambda end: end[1]):
        last = max(y, last + 14)
        places[name] = last
    return places


def chart(title, x_label, series, y_label="seconds", styles=None):
    """series is {name: [Point, ...]}, with all numbers above 0; styles, if the colours are not to be
    given in turn, {name: Style}."""
    styles = styles or {name: Style(colour) for name, colour in zip(series, COLOURS)}
    points = [point for values in series.values() for point in values]
    x_axis = Axis([point.x for point in points], LEFT, WIDTH - RIGHT)
    y_axis = Axis([value for point in points for value in (point.low, point.high)],
                  HEIGHT - BOTTOM, TOP)
    parts = draw_axes(title, (x_label, y_label), x_axis, sorted({point.x for point in points}),
                      y_axis)
    places = label_places({name: y_axis(values[-1].y) for name, values in series.items()})
    for name, values in series.items():
        parts += draw_series(name, values, styles[name], x_axis, y_axis, places[name])
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" '
            'fill="#222">\n<rect width="100%" height="100%" fill="white"/>\n'
            + "\n".join(parts) + "\n</svg>\n")
