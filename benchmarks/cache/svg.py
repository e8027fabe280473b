"""A bar chart as SVG, so that a run can be looked at without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377")
_ROW, _LEFT, _WIDTH = 18, 260, 520


def write_bars(path: Path, title: str, groups: Mapping[str, Mapping[str, float]]) -> None:
    """Values between 0 and 1, by group and name."""
    lines, top = [f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>'], 40
    for group, values in groups.items():
        lines.append(f'<text x="8" y="{top + 13}">{escape(group)}</text>')
        top += _ROW
        for at, (name, value) in enumerate(values.items()):
            colour = _COLOURS[at % len(_COLOURS)]
            lines += (
                f'<text x="{_LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{_LEFT}" y="{top + 2}" width="{_WIDTH * value:.1f}" height="13" fill="{colour}"/>',
                f'<text x="{_LEFT + _WIDTH * value + 6:.1f}" y="{top + 13}">{100 * value:.1f} %</text>',
            )
            top += _ROW
        top += _ROW // 2
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 80}" height="{top}" '
        'font-family="sans-serif" font-size="12">'
    )
    path.write_text("\n".join([head, *lines, "</svg>", ""]), encoding="utf-8")
