#!/usr/bin/env python3
"""Draws the traces that leave the board on the home page.

    python3 art/traces.py        writes src/assets/traces.svg

The board (65 x 30 mm) is in the middle. One unit is one millimetre.
"""

import pathlib

OUT = pathlib.Path(__file__).resolve().parent.parent / "src/assets/traces.svg"
WIDTH, HEIGHT = 520, 240
COPPER, PAD, HOLE = "#124533", "#8f7a3f", "#08291f"


def n(value):
    return f"{round(value, 2):g}"


def fan(points, up, side, reach, first, pitch, bend, rise):
    """Draws a trace from each point: vertical, then towards `side`, then vertical again.

    The trace closest to that side turns first, so that no traces cross.
    """
    paths, ends = [], []
    ordered = sorted(points, key=lambda p: -side * p[0])
    for i, (x, y) in enumerate(ordered):
        climb = first + i * pitch
        run = reach - i * 8 + (i % 3) * 6
        path = f"M{n(x)} {n(y)}v{n(-up * climb)}l{n(side * bend)} {n(-up * bend)}h{n(side * run)}"
        end = (x + side * (bend + run), y - up * (climb + bend))
        if i % 2 == 0:
            path += f"l{n(side * rise)} {n(-up * rise)}v{n(-up * (4 + i))}"
            end = (end[0] + side * rise, end[1] - up * (rise + 4 + i))
        paths.append(path)
        ends.append(end)
    return paths, ends


def main():
    top = [(-24.13 + i * 2.54, -13) for i in range(20)]
    low_left = [(-26 + i * 2.6, 12) for i in range(7)]
    low_right = [(10 + i * 2.6, 12) for i in range(8)]
    paths, ends = [], []
    for part in (
        fan(top[:11], 1, -1, 92, 7, 2.6, 5, 6),
        fan(top[11:], 1, 1, 150, 7, 2.6, 5, 6),
        fan(low_left, -1, -1, 62, 18, 2.6, 6, 6),
        fan(low_right, -1, 1, 140, 18, 2.6, 6, 6),
    ):
        paths += part[0]
        ends += part[1]
    dots = "".join(f"M{n(x)} {n(y)}h0" for x, y in ends)
    OUT.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-WIDTH // 2} {-HEIGHT // 2} {WIDTH} {HEIGHT}" '
        'fill="none" stroke-linecap="round" stroke-linejoin="round">'
        f'<path d="{"".join(paths)}" stroke="{COPPER}" stroke-width=".9"/>'
        f'<path d="{dots}" stroke="{PAD}" stroke-width="2.6"/>'
        f'<path d="{dots}" stroke="{HOLE}" stroke-width="1.1"/></svg>\n'
    )
    print(f"traces.svg {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
