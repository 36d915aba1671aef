#!/usr/bin/env python3
"""Generates Refdes, the display typeface of the site.

    pip install fonttools skia-pathops brotli
    python3 art/font.py          writes src/assets/fonts/refdes-*.woff2

Refdes is drawn like the lettering on a circuit board: as paths for a round pen.
Every glyph below is a list of strokes. A stroke is a list of points "x,y";
"x,y,r" rounds the corner with radius r, and a stroke that ends in "z" is closed.
If a leg is too short for the radius, the corner becomes an ellipse. The width of
the pen determines the weight.

Units: 1000 per em; capitals are 700 high, lower-case letters 500.
"""

import pathlib

import pathops
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

OUT = pathlib.Path(__file__).resolve().parent.parent / "src/assets/fonts"
KAPPA = 0.5523

# Character: (width of the drawing, strokes). The drawing starts at x = 0; the
# side bearings are added later.
GLYPHS = {
    " ": (200, []),
    # Capitals
    "A": (500, ["0,0 250,700 500,0", "85,220 415,220"]),
    "B": (450, ["0,350 450,350,175 450,0,175 0,0 0,700 420,700,175 420,350,175 240,350"]),
    "C": (460, ["460,520 460,700,230 0,700,230 0,0,230 460,0,230 460,180"]),
    "D": (480, ["0,0 480,0,260 480,700,260 0,700 z"]),
    "E": (400, ["400,0 0,0 0,700 400,700", "0,360 340,360"]),
    "F": (390, ["0,0 0,700 390,700", "0,350 330,350"]),
    "G": (480, ["480,530 480,700,240 0,700,240 0,0,240 480,0,240 480,340 280,340"]),
    "H": (470, ["0,0 0,700", "470,0 470,700", "0,360 470,360"]),
    "I": (0, ["0,0 0,700"]),
    "J": (340, ["340,700 340,0,170 0,0,170 0,190"]),
    "K": (440, ["0,0 0,700", "430,700 0,270", "150,420 440,0"]),
    "L": (370, ["0,700 0,0 370,0"]),
    "M": (560, ["0,0 0,700 280,230 560,700 560,0"]),
    "N": (480, ["0,0 0,700 480,0 480,700"]),
    "O": (500, ["0,350 0,700,250 500,700,250 500,0,250 0,0,250 z"]),
    "P": (440, ["0,0 0,700 440,700,200 440,300,200 0,300"]),
    "Q": (500, ["0,350 0,700,250 500,700,250 500,0,250 0,0,250 z", "310,170 500,-20"]),
    "R": (450, ["0,0 0,700 440,700,195 440,310,195 0,310", "260,310 450,0"]),
    "S": (430, ["430,540 430,700,210 0,700,210 0,370,165 430,370,185 430,0,215 0,0,215 0,160"]),
    "T": (460, ["0,700 460,700", "230,700 230,0"]),
    "U": (470, ["0,700 0,0,235 470,0,235 470,700"]),
    "V": (500, ["0,700 250,0 500,700"]),
    "W": (720, ["0,700 180,0 360,620 540,0 720,700"]),
    "X": (470, ["0,700 470,0", "470,700 0,0"]),
    "Y": (470, ["0,700 235,330 470,700", "235,330 235,0"]),
    "Z": (430, ["0,700 430,700 0,0 430,0"]),
    # Lower-case letters
    "a": (380, ["30,430 30,500,150 380,500,170 380,0", "380,290 0,290,150 0,0,150 380,0,170 380,180"]),
    "b": (400, ["0,720 0,0", "0,250 0,500,200 400,500,200 400,0,200 0,0,200 z"]),
    "c": (370, ["370,370 370,500,190 0,500,200 0,0,200 370,0,190 370,130"]),
    "d": (400, ["400,720 400,0", "0,250 0,500,200 400,500,200 400,0,200 0,0,200 z"]),
    "e": (400, ["0,255 400,255 400,500,200 0,500,200 0,0,200 385,0,200 385,115"]),
    "f": (255, ["70,0 70,720,160 260,720", "0,480 240,480"]),
    "g": (400, ["400,500 400,-190,190 20,-190,180 20,-100", "0,250 0,500,200 400,500,200 400,0,200 0,0,200 z"]),
    "h": (380, ["0,0 0,720", "0,230 0,500,190 380,500,190 380,0"]),
    "i": (0, ["0,0 0,500", ". 0,690"]),
    "j": (130, ["110,500 110,-190,140 0,-190", ". 110,690"]),
    "k": (360, ["0,0 0,720", "340,500 0,180", "120,292 360,0"]),
    "l": (110, ["0,720 0,0,120 110,0"]),
    "m": (620, ["0,0 0,500", "0,230 0,500,155 310,500,155 310,0", "310,230 310,500,155 620,500,155 620,0"]),
    "n": (380, ["0,0 0,500", "0,230 0,500,190 380,500,190 380,0"]),
    "o": (410, ["0,250 0,500,205 410,500,205 410,0,205 0,0,205 z"]),
    "p": (400, ["0,500 0,-200", "0,250 0,500,200 400,500,200 400,0,200 0,0,200 z"]),
    "q": (400, ["400,500 400,-200", "0,250 0,500,200 400,500,200 400,0,200 0,0,200 z"]),
    "r": (240, ["0,0 0,500", "0,230 0,500,180 240,500"]),
    "s": (340, ["335,405 335,500,150 0,500,150 0,262,120 340,262,130 340,0,155 0,0,155 0,100"]),
    "t": (260, ["70,660 70,0,150 260,0", "0,500 240,500"]),
    "u": (380, ["0,500 0,0,190 380,0,190 380,270", "380,500 380,0"]),
    "v": (380, ["0,500 190,0 380,500"]),
    "w": (580, ["0,500 145,0 290,460 435,0 580,500"]),
    "x": (360, ["0,500 360,0", "360,500 0,0"]),
    "y": (380, ["0,500 190,0", "380,500 170,-110,120 20,-190"]),
    "z": (340, ["0,500 340,500 0,0 340,0"]),
    # Figures, all of the same width
    "0": (430, ["0,350 0,700,215 430,700,215 430,0,215 0,0,215 z"]),
    "1": (430, ["60,560 240,700 240,0", "80,0 400,0"]),
    "2": (430, ["10,530 10,700,205 415,700,205 415,390,170 0,0 430,0"]),
    "3": (430, ["10,560 10,700,190 410,700,190 410,365,170 200,365", "200,365 430,365,190 430,0,205 0,0,205 0,150"]),
    "4": (430, ["330,0 330,700 0,190 430,190"]),
    "5": (430, ["390,700 50,700 30,400,0 430,430,215 430,0,215 0,0,200 0,140"]),
    "6": (430, ["370,700 0,560,250 0,0,215 430,0,215 430,420,215 0,420,215 0,220"]),
    "7": (430, ["0,700 430,700 150,0"]),
    "8": (430, ["215,370 0,370,190 0,0,200 430,0,200 430,370,190 z", "215,370 25,370,170 25,700,170 405,700,170 405,370,170 z"]),
    "9": (430, ["60,0 430,140,250 430,700,215 0,700,215 0,280,215 430,280,215 430,480"]),
    # Punctuation
    ".": (0, [". 0,0"]),
    ",": (50, ["50,10 0,-120"]),
    ":": (0, [". 0,40", ". 0,430"]),
    ";": (50, ["50,20 0,-110", ". 50,430"]),
    "!": (0, ["0,700 0,220", ". 0,0"]),
    "?": (370, ["0,550 0,700,180 370,700,185 370,400,170 185,330,100 185,210", ". 185,0"]),
    "-": (220, ["0,270 220,270"]),
    "–": (400, ["0,270 400,270"]),
    "—": (700, ["0,270 700,270"]),
    "_": (430, ["0,-80 430,-80"]),
    "/": (320, ["0,-60 320,760"]),
    "(": (150, ["150,780 0,620,200 0,60,200 150,-100"]),
    ")": (150, ["0,780 150,620,200 150,60,200 0,-100"]),
    "+": (400, ["0,300 400,300", "200,500 200,100"]),
    "=": (400, ["0,390 400,390", "0,200 400,200"]),
    "×": (320, ["0,460 320,140", "0,140 320,460"]),
    "·": (0, [". 0,290"]),
    "’": (50, ["50,720 0,590"]),
    "‘": (50, ["0,720 50,590"]),
    "“": (190, ["0,720 50,590", "140,720 190,590"]),
    "”": (190, ["50,720 0,590", "190,720 140,590"]),
    "'": (0, ["0,720 0,580"]),
    '"': (140, ["0,720 0,580", "140,720 140,580"]),
    "%": (600, ["520,700 80,0", "0,560 0,690,120 240,690,120 240,430,120 0,430,120 z", "360,140 360,270,120 600,270,120 600,10,120 360,10,120 z"]),
    "&": (500, ["500,0 110,480,80 110,700,120 370,700,120 370,480,120 0,290,160 0,0,180 460,0,230 470,260"]),
    "#": (480, ["150,640 90,60", "390,640 330,60", "20,450 480,450", "0,250 460,250"]),
    "→": (560, ["0,290 560,290", "380,470 560,290 380,110"]),
    "←": (560, ["0,290 560,290", "180,470 0,290 180,110"]),
    "µ": (380, ["0,500 0,-200", "0,260 0,0,190 380,0,190 380,500"]),
    "≈": (400, ["0,360 100,470,60 300,330,60 400,440", "0,180 100,290,60 300,150,60 400,260"]),
    "£": (420, ["390,560 390,700,160 90,700,160 90,0 420,0", "0,0 90,0", "0,350 300,350"]),
}

# Side bearings: how much is taken off the margin at each side. Round and slanted
# sides are closer to their neighbours than straight ones.
LOOSE, ROUND, TIGHT = 0, 22, 52
LEFT = {c: ROUND for c in "CGOQcdegoq0689"} | {c: TIGHT for c in "AJTVWXYZvwxyz17/→4"} | {c: 38 for c in "aSsft"}
RIGHT = {c: ROUND for c in "DOQbopBP035689"} | {c: TIGHT for c in "AKLRTVWXYZkvwxyzrFE7/ft4"} | {c: 38 for c in "CGScseal"}

KERNING = {
    "To": -90, "Te": -90, "Ta": -80, "Ti": -20, "Tr": -60, "Tw": -50, "Ty": -50,
    "Yo": -80, "Ye": -80, "Yu": -50, "Va": -50, "Ve": -50, "We": -30, "Wh": 0,
    "AT": -70, "AV": -60, "AW": -40, "AY": -80, "LT": -80, "LV": -70, "LY": -80,
    "r.": -70, "r,": -70, "y.": -60, "v.": -60, "w.": -50, "ra": -15, "ro": -20,
    "ry": 12, "Pi": 0, "P.": -90, "F.": -90, "we": -15, "wo": -15, "ve": -20,
    "vo": -20, "ey": -12, "ov": -15, "ow": -12, "ff": -10, "ft": -10, "tt": -10,
}


def corner(path, before, at, after, radius):
    """Rounds a corner, with as much of the radius as both legs allow."""

    def toward(other):
        dx, dy = other[0] - at[0], other[1] - at[1]
        length = (dx * dx + dy * dy) ** 0.5
        reach = min(radius, length)
        return (dx / length * reach, dy / length * reach)

    bx, by = toward(before)
    ax, ay = toward(after)
    path.lineTo(at[0] + bx, at[1] + by)
    k = 1 - KAPPA
    path.cubicTo(
        at[0] + bx * k, at[1] + by * k, at[0] + ax * k, at[1] + ay * k, at[0] + ax, at[1] + ay
    )


def skeleton(stroke, pen_width):
    path = pathops.Path()
    if stroke.startswith(". "):
        # A dot, a little wider than the pen.
        x, y = map(float, stroke[2:].split(","))
        y = max(y, pen_width * 0.12)
        path.moveTo(x, y)
        path.lineTo(x, y + 0.01)
        return path, pen_width * 1.24
    words = stroke.split()
    closed = words[-1] == "z"
    if closed:
        words.pop()
    points = [tuple(map(float, word.split(","))) for word in words]
    if closed:
        # Start in the middle of a side, so that every corner is drawn as one.
        a, b = points[0], points[1]
        if len(a) == 2:
            start = a[:2]
        else:
            start = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
        path.moveTo(*start)
        ring = points[1:] + [points[0]]
        for i, p in enumerate(ring):
            before = ring[i - 1] if i else start
            after = ring[(i + 1) % len(ring)] if i + 1 < len(ring) else points[1]
            if len(p) == 3 and p[2]:
                nxt = after
                corner(path, halve(before, p, i > 0), p, halve(nxt, p, True), p[2])
            else:
                path.lineTo(p[0], p[1])
        path.close()
        return path, pen_width
    path.moveTo(*points[0][:2])
    for i in range(1, len(points)):
        p = points[i]
        if len(p) == 3 and p[2] and i + 1 < len(points):
            before, after = points[i - 1], points[i + 1]
            corner(
                path,
                halve(before, p, i > 1),
                p,
                halve(after, p, i + 2 < len(points)),
                p[2],
            )
        else:
            path.lineTo(p[0], p[1])
    return path, pen_width


def halve(other, at, _shared):
    """Divides a leg between the two rounded corners at its ends, by their radii."""
    if len(other) == 3 and other[2]:
        dx, dy = other[0] - at[0], other[1] - at[1]
        length = (dx * dx + dy * dy) ** 0.5
        total = other[2] + (at[2] if len(at) == 3 else 0)
        if total > length:
            share = (at[2] if len(at) == 3 else 0) / total
            return (at[0] + dx * share, at[1] + dy * share)
    return other[:2]


def outline(strokes, pen_width, dx):
    whole = pathops.Path()
    for stroke in strokes:
        path, width = skeleton(stroke, pen_width)
        path.stroke(width, pathops.LineCap.ROUND_CAP, pathops.LineJoin.ROUND_JOIN, 4)
        path.convertConicsToQuads(0.4)
        path.simplify(fix_winding=True, clockwise=True)
        for verb, pts in path:
            moved = [(x + dx, y) for x, y in pts]
            {
                pathops.PathVerb.MOVE: whole.moveTo,
                pathops.PathVerb.LINE: whole.lineTo,
                pathops.PathVerb.QUAD: whole.quadTo,
                pathops.PathVerb.CUBIC: whole.cubicTo,
            }.get(verb, lambda *_: whole.close())(*[v for p in moved for v in p])
    whole.simplify(fix_winding=True, clockwise=True)
    return whole


def glyph_name(character):
    return f"uni{ord(character):04X}"


def build(style, weight, pen_width, margin, file):
    half = pen_width / 2
    glyphs, metrics, cmap = {}, {}, {}
    order = [".notdef"]
    empty = TTGlyphPen(None)
    glyphs[".notdef"], metrics[".notdef"] = empty.glyph(), (500, 0)

    for character, (width, strokes) in GLYPHS.items():
        name = glyph_name(character)
        order.append(name)
        cmap[ord(character)] = name
        left = margin - LEFT.get(character, LOOSE) + half
        right = margin - RIGHT.get(character, LOOSE) + half
        if not strokes:
            glyphs[name] = TTGlyphPen(None).glyph()
            metrics[name] = (width + 40, 0)
            continue
        pen = TTGlyphPen(None)
        outline(strokes, pen_width, left).draw(pen)
        glyph = pen.glyph()
        glyphs[name] = glyph
        glyph.recalcBounds(None)
        metrics[name] = (round(width + left + right), getattr(glyph, "xMin", 0))

    cmap[0xA0] = glyph_name(" ")
    cmap[0x2011] = glyph_name("-")
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(cmap)
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(metrics)
    builder.setupHorizontalHeader(ascent=900, descent=-260)
    builder.setupNameTable(
        {
            "familyName": "Refdes",
            "styleName": style,
            "uniqueFontIdentifier": f"Refdes {style}",
            "fullName": f"Refdes {style}",
            "psName": f"Refdes-{style}",
            "version": "Version 1.000",
        }
    )
    builder.setupOS2(
        sTypoAscender=900,
        sTypoDescender=-260,
        usWinAscent=900,
        usWinDescent=260,
        sxHeight=500,
        sCapHeight=700,
        usWeightClass=weight,
    )
    builder.setupPost(keepGlyphNames=False)
    pairs = "\n".join(
        f"    pos {glyph_name(pair[0])} {glyph_name(pair[1])} {value};"
        for pair, value in KERNING.items()
        if value
    )
    builder.addOpenTypeFeatures(f"feature kern {{\n{pairs}\n}} kern;")
    font = builder.font
    font["head"].created = font["head"].modified = 3786912000
    font.recalcTimestamp = False
    font.flavor = "woff2"
    OUT.mkdir(parents=True, exist_ok=True)
    font.save(OUT / file)
    print(f"{file} {(OUT / file).stat().st_size} bytes, {len(order)} glyphs")


if __name__ == "__main__":
    build("Regular", 400, 78, 62, "refdes-regular.woff2")
    build("Bold", 700, 112, 58, "refdes-bold.woff2")
