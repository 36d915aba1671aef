#!/usr/bin/env python3
"""Draws the boards shown on the site as SVG, to scale, seen from above.

    python3 art/boards.py        writes src/assets/boards/*.svg

One unit is a tenth of a millimetre, and y points down. Positions follow the
published mechanical drawings; details that are not in them are drawn by eye. No
text or logo is copied from the boards.
"""

import pathlib

OUT = pathlib.Path(__file__).resolve().parent.parent / "src/assets/boards"

MASK, MASK_EDGE, TRACE = "#0c7350", "#06452f", "#15875f"
MARGIN = 25
GOLD, HOLE, SILK = "#e6bd5c", "#083a29", "#eef6ef"
CHIP, CHIP_EDGE, CHIP_MARK = "#20262a", "#0f1214", "#5b666c"
METAL, METAL_DARK, PLASTIC, CREAM = "#c9d0d2", "#8f999d", "#15191b", "#e9e4d2"


def n(value):
    return f"{value:g}"


def rect(x, y, w, h, fill, r=0, stroke=None, sw=2):
    extra = f' rx="{n(r)}"' if r else ""
    if stroke:
        extra += f' stroke="{stroke}" stroke-width="{n(sw)}"'
    return f'<rect x="{n(x)}" y="{n(y)}" width="{n(w)}" height="{n(h)}" fill="{fill}"{extra}/>'


def dots(points, width, colour):
    """Draws round dots as one path of zero-length strokes."""
    path = "".join(f"M{n(x)} {n(y)}h0" for x, y in points)
    return f'<path d="{path}" stroke="{colour}" stroke-width="{n(width)}" stroke-linecap="round"/>'


def lines(paths, width, colour):
    return (
        f'<path d="{"".join(paths)}" fill="none" stroke="{colour}" '
        f'stroke-width="{n(width)}" stroke-linecap="round" stroke-linejoin="round"/>'
    )


def hole(x, y):
    return dots([(x, y)], 60, GOLD) + dots([(x, y)], 28, HOLE)


def header(populated):
    """Draws the 40 pins: 2 x 20 at 2.54 mm, centred on x = 32.5 mm, 3.5 mm from the edge."""
    points = [
        (325 + (column - 9.5) * 25.4, 35 + (row - 0.5) * 25.4)
        for row in (0, 1)
        for column in range(20)
    ]
    frame = rect(70, 9, 510, 52, "none", 4, SILK, 2.5)
    if populated:
        return rect(70, 9, 510, 52, PLASTIC, 3) + dots(points, 11, GOLD)
    return frame + dots(points, 18, GOLD) + dots(points, 9, HOLE)


def chip(x, y, w, h, lines_of_mark=2, pins=0, metal=False):
    """Draws a chip centred on x, y, with `pins` legs on each side."""
    left, top = x - w / 2, y - h / 2
    out = ""
    if pins:
        legs = []
        for i in range(pins):
            at = (i + 0.5) * (w - 12) / pins + 6
            legs.append(f"M{n(left + at)} {n(top - 7)}v{n(h + 14)}")
            at = (i + 0.5) * (h - 12) / pins + 6
            legs.append(f"M{n(left - 7)} {n(top + at)}h{n(w + 14)}")
        out += lines(legs, 4, METAL_DARK)
    if metal:
        out += rect(left, top, w, h, METAL, 8, METAL_DARK, 2.5)
        out += rect(left + 12, top + 12, w - 24, h - 24, "none", 5, "#dfe5e6", 3)
    else:
        out += rect(left, top, w, h, CHIP, 3, CHIP_EDGE, 2)
        out += dots([(left + 11, top + 11)], 6, CHIP_MARK)
    mark = []
    for i in range(lines_of_mark):
        y0 = y + (i - (lines_of_mark - 1) / 2) * 14
        half = w * (0.28 if i % 2 == 0 else 0.18)
        mark.append(f"M{n(x - half)} {n(y0)}h{n(half * 2)}")
    if mark:
        out += lines(mark, 3.5, METAL_DARK if metal else CHIP_MARK)
    return out


def crystal(x, y, w=26, h=16):
    return rect(x - w / 2, y - h / 2, w, h, METAL, 5, METAL_DARK, 2)


def parts(points, upright=False):
    """Draws small parts with two terminals."""
    out = ""
    for x, y in points:
        w, h = (6, 12) if upright else (12, 6)
        out += rect(x - w / 2, y - h / 2, w, h, CREAM)
        if upright:
            out += rect(x - w / 2, y - 2.5, w, 5, "#8b6f4a")
        else:
            out += rect(x - 2.5, y - h / 2, 5, h, "#8b6f4a")
    return out


def socket_bottom(x, height, w, depth, over=8):
    """Draws a connector on the lower edge, centred on x."""
    y = height - depth + over
    return (
        rect(x - w / 2, y, w, depth, METAL, 5, METAL_DARK, 2.5)
        + lines([f"M{n(x - w * 0.3)} {n(y + depth * 0.3)}h{n(w * 0.6)}"], 3, METAL_DARK)
    )


def socket_right(width, y, w, depth, over=20, colour=None):
    x = width - depth + over
    out = rect(x, y - w / 2, depth, w, METAL, 5, METAL_DARK, 2.5)
    out += lines(
        [f"M{n(x + depth * 0.22)} {n(y - w * 0.32)}h{n(depth * 0.4)}M{n(x + depth * 0.22)} {n(y + w * 0.32)}h{n(depth * 0.4)}"],
        4,
        METAL_DARK,
    )
    if colour:
        out += rect(width + over - 12, y - w * 0.38, 8, w * 0.76, colour, 2)
    return out


def card(x, y, w=120, h=130):
    """Draws a card slot at the left edge."""
    return rect(x, y - h / 2, w, h, METAL, 5, METAL_DARK, 2.5) + lines(
        [f"M{n(x + 20)} {n(y - h / 2 + 16)}h{n(w * 0.5)}M{n(x + 20)} {n(y + h / 2 - 16)}h{n(w * 0.5)}"],
        3,
        METAL_DARK,
    )


def flat_cable(x, y, length, colour=CREAM, flip=False):
    """Draws a vertical connector for a flat cable."""
    latch = x + 12 if flip else x - 20
    return rect(x - 12, y - length / 2, 24, length, colour, 3, "#a79f86", 2) + rect(
        latch, y - length / 2 - 3, 8, length + 6, PLASTIC, 2
    )


def board(width, height, radius, traces, body):
    edge = f'<rect x="1.5" y="1.5" width="{width - 3}" height="{height - 3}" rx="{radius}" fill="{MASK}" stroke="{MASK_EDGE}" stroke-width="3"/>'
    # Connectors extend up to 2.5 mm beyond the board, hence the margin.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="-{MARGIN} -{MARGIN} {width + 2 * MARGIN} {height + 2 * MARGIN}">'
        + edge
        + lines(traces, 4, TRACE)
        + body
        + "</svg>\n"
    )


def bus(x, y, count, pitch, down, along):
    """Parallel traces that go down, turn by 45 degrees and continue horizontally."""
    out = []
    for i in range(count):
        bend = 30 + i * 2
        out.append(
            f"M{n(x + i * pitch)} {n(y)}v{n(down - i * pitch)}l{n(bend)} {n(bend)}h{n(along)}"
        )
    return out


def zero(second):
    w, h = 650, 300
    traces = bus(110, 60, 6, 9, 60, 60) + bus(300, 60, 7, 9, 34, 120)
    traces += [f"M{n(330 + i * 9)} 210v{n(20 + i * 3)}l14 14v40" for i in range(4)]
    traces += [f"M{n(170 + i * 8)} 180v{n(22)}l-20 20v50" for i in range(4)]
    body = header(populated=False)
    body += "".join(hole(x, y) for x in (35, 615) for y in (35, 265))
    body += card(-12, 169, 130, 120)
    body += flat_cable(634, 150, 170, flip=False)
    if second:
        body += chip(300, 155, 150, 150, 3, metal=False)
        body += rect(437, 88, 118, 100, METAL, 6, METAL_DARK, 2.5)
        body += lines(["M460 112h70M460 128h44"], 4, METAL_DARK)
        body += chip(206, 216, 32, 32, 0, 3)
    else:
        body += chip(262, 150, 124, 124, 3)
        body += chip(440, 132, 62, 62, 1)
        body += crystal(378, 122) + crystal(440, 192, 30, 18)
        body += chip(212, 222, 34, 34, 0, 3)
    body += parts([(150, 110), (150, 124), (392, 220), (392, 232), (520, 214), (520, 226)])
    body += parts([(352, 220), (364, 220), (164, 196), (482, 214), (494, 214)], upright=True)
    body += socket_bottom(124, h, 112, 76)
    body += socket_bottom(414, h, 80, 54)
    body += socket_bottom(540, h, 80, 54)
    body += lines(["M404 236v-8M540 236v-8"], 3, SILK)
    # The antenna: a notch of bare board with a resonator.
    body += f'<path d="M572 96l28 0l-14 26z" fill="{TRACE}"/>'
    return board(w, h, 30, traces, body)


def model_b(generation, plus=False):
    w, h = 850, 560
    traces = bus(120, 60, 8, 9, 90, 70) + bus(380, 60, 8, 9, 70, 150)
    traces += [f"M{n(330 + i * 9)} 320v{n(60 + i * 4)}l16 16v120" for i in range(6)]
    traces += [f"M{n(200 + i * 9)} 330v{n(70 + i * 4)}l-24 24v100" for i in range(5)]
    traces += [f"M360 {n(250 + i * 9)}h{n(150 - i * 6)}l40 40h80" for i in range(6)]
    body = header(populated=True)
    body += "".join(hole(x, y) for x in (35, 615) for y in (35, 525))
    body += flat_cable(40, 280, 200, colour=PLASTIC if generation == 1 else CREAM, flip=True)

    five, four = generation == 5, generation == 4
    if five:
        body += chip(290, 250, 170, 170, 2, metal=True)
        body += chip(470, 214, 124, 104, 2)
        body += chip(560, 330, 122, 122, 3)
        body += chip(130, 196, 84, 84, 2, 0)
        body += rect(70, 86, 130, 48, METAL, 5, METAL_DARK, 2.5)
        body += chip(160, 420, 56, 56, 1, 5)
        body += flat_cable(470, 484, 120, flip=False) + flat_cable(530, 484, 120, flip=False)
    elif four:
        body += chip(290, 250, 154, 154, 2, metal=True)
        body += chip(450, 250, 122, 146, 3)
        body += chip(590, 200, 64, 64, 1, 7)
        body += chip(620, 392, 74, 74, 2, 0)
        body += rect(74, 82, 120, 92, METAL, 6, METAL_DARK, 2.5) + lines(["M96 106h64M96 122h40"], 4, METAL_DARK)
        body += chip(140, 430, 56, 56, 1, 5)
        body += flat_cable(464, 476, 190, flip=False)
    else:
        if generation == 3 and plus:
            body += chip(285, 280, 146, 146, 2, metal=True)
            body += rect(74, 82, 120, 92, METAL, 6, METAL_DARK, 2.5) + lines(["M96 106h64M96 122h40"], 4, METAL_DARK)
        else:
            body += chip(270, 270, 140 if generation > 1 else 122, 140 if generation > 1 else 122, 3)
        if generation == 3 and not plus:
            body += chip(120, 120, 50, 50, 0) + crystal(180, 112, 30, 18)
        body += chip(560, 280, 88, 88, 2, 10)
        body += crystal(560, 196, 60, 24)
        body += flat_cable(450, 440, 220, colour=PLASTIC if generation == 1 else CREAM, flip=False)
        body += chip(150, 420, 44, 44, 0, 4)
    # Round capacitors next to the power connector.
    if generation < 4:
        body += dots([(200, 492)], 60, METAL) + dots([(200, 492)], 44, METAL_DARK)
        body += dots([(594, 396)], 60, METAL) + dots([(594, 396)], 44, METAL_DARK)
    body += parts([(420, 110), (420, 124), (420, 138), (230, 400), (230, 412), (380, 380), (380, 392)])
    body += parts([(500, 120), (514, 120), (528, 120), (300, 400), (312, 400), (640, 290), (652, 290)], upright=True)

    # The lower edge: power, video, audio.
    body += socket_bottom(112 if generation >= 4 else 106, h, 92 if generation >= 4 else 80, 74 if generation >= 4 else 56)
    if generation >= 4:
        body += socket_bottom(260, h, 70, 78) + socket_bottom(394, h, 70, 78)
    else:
        body += socket_bottom(320, h, 150, 114)
    if generation < 5:
        body += rect(500, h - 125, 70, 125, PLASTIC, 4) + dots([(535, h + 4)], 44, PLASTIC)

    # The right edge: USB and Ethernet, whose positions were swapped twice.
    ethernet, upper, lower = (458, 268, 90) if generation != 4 else (102, 270, 450)
    blue = "#3d6fd0" if generation >= 4 else None
    body += socket_right(w, ethernet, 160, 212, colour=None)
    body += lines([f"M{w - 150} {ethernet - 44}h60M{w - 150} {ethernet + 44}h60"], 4, METAL_DARK)
    body += socket_right(w, upper, 146, 172, 22, blue)
    body += socket_right(w, lower, 146, 172, 22, None if generation < 4 else "#15191b")
    return board(w, h, 30, traces, body)


def model_a():
    w, h = 650, 560
    traces = bus(120, 60, 8, 9, 90, 70) + bus(380, 60, 6, 9, 70, 60)
    traces += [f"M{n(330 + i * 9)} 320v{n(60 + i * 4)}l16 16v120" for i in range(6)]
    traces += [f"M200 {n(330 + i * 9)}v{n(70)}l-24 24v100" for i in range(5)]
    body = header(populated=True)
    body += "".join(hole(x, y) for x in (35, 615) for y in (35, 525))
    body += flat_cable(40, 280, 200, flip=True)
    body += chip(285, 280, 146, 146, 2, metal=True)
    body += rect(74, 82, 120, 92, METAL, 6, METAL_DARK, 2.5) + lines(["M96 106h64M96 122h40"], 4, METAL_DARK)
    body += flat_cable(450, 440, 220, flip=False)
    body += chip(150, 420, 44, 44, 0, 4) + chip(500, 170, 60, 60, 1)
    body += crystal(430, 150, 40, 20)
    body += dots([(200, 492)], 60, METAL) + dots([(200, 492)], 44, METAL_DARK)
    body += parts([(420, 110), (420, 124), (230, 400), (230, 412), (380, 380), (380, 392)])
    body += socket_bottom(106, h, 80, 56) + socket_bottom(320, h, 150, 114)
    body += rect(500, h - 125, 70, 125, PLASTIC, 4)
    body += socket_right(w, 315, 146, 140, 22)
    return board(w, h, 30, traces, body)


DRAWINGS = {
    "zero-w": lambda: zero(second=False),
    "zero-2-w": lambda: zero(second=True),
    "1-b-plus": lambda: model_b(1),
    "2-b": lambda: model_b(2),
    "3-a-plus": model_a,
    "3-b": lambda: model_b(3),
    "3-b-plus": lambda: model_b(3, plus=True),
    "4-b": lambda: model_b(4),
    "5": lambda: model_b(5),
}


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        svg = draw()
        (OUT / f"{name}.svg").write_text(svg)
        print(f"{name}.svg {len(svg)} bytes")
