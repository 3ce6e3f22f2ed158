"""Draws the course's banknotes: small photographs of 1 yuan and 100 yuan notes that exist nowhere but here.

    python tools/make_banknotes.py     writes data/banknotes and data/banknotes_new_series anew

The notes are stylised and marked SPECIMEN. A face is drawn once for each kind of note; a picture then wears it
(folds, stains, a turned-down corner), lays it on a background, tilts the camera and adds light, blur and noise.
Every picture has its own seed, so that any one of them can be drawn again alone, pixel for pixel.

Source: the mapping of a note's four corners into the picture is the homography of Hartley and Zisserman,
"Multiple View Geometry in Computer Vision" (2nd edition, 2003), section 4.1.
"""
import csv
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

DATA = Path(__file__).resolve().parent.parent / "data"
SETS = [  # folder, series, values, number of pictures of each value
    ("banknotes", "old", (1, 100), 100),
    ("banknotes_new_series", "new", (100,), 40),
]
SIZE = (200, 120)  # width and height of the pictures that ship
QUALITY = 82  # of the JPEGs: all of them together stay under 2 MB
SEED = 2015

# The face of a note is designed on 1200 x 600 units and drawn SCALE times larger, then reduced: smooth lines.
WIDTH, HEIGHT, SCALE = 1200, 600, 3
NUMERALS = {1: (112, 172, 272), 100: (96, 172, 272)}  # left, top and height of the big numeral
WORDS = {1: "ONE YUAN", 100: "ONE HUNDRED YUAN"}
# paper, tint, accent, ink. The two old notes are equally bright: only hue and shape tell them apart.
PALETTES = {
    ("old", 1): ((246, 224, 214), (214, 148, 134), (206, 160, 110), (124, 58, 54)),
    ("old", 100): ((218, 228, 238), (134, 164, 192), (136, 172, 176), (48, 76, 112)),
    ("new", 100): ((248, 222, 216), (220, 136, 128), (214, 158, 112), (138, 44, 52)),
}

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]


# ---------------------------------------------------------------------------------------------- the face of a note
def font(height: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that no system font is needed; basic layout, so that no library moves a letter."""
    return ImageFont.load_default(height).font_variant(layout_engine=ImageFont.Layout.BASIC)


def curve(draw: ImageDraw.ImageDraw, x: np.ndarray, y: np.ndarray, colour: tuple[int, ...], width: float) -> None:
    """Draws the line through the points (x, y), given in units of the face."""
    points = np.stack([x, y], axis=-1) * SCALE
    draw.line([tuple(point) for point in points], fill=colour, width=max(1, round(width * SCALE)), joint="curve")


def polygon(draw: ImageDraw.ImageDraw, x: np.ndarray, y: np.ndarray, fill: tuple[int, ...]) -> None:
    """Fills the outline through the points (x, y), given in units of the face."""
    draw.polygon([tuple(point) for point in np.stack([x, y], axis=-1) * SCALE], fill=fill)


def ellipse(draw: ImageDraw.ImageDraw, box: tuple[float, ...], **style) -> None:
    """Draws the ellipse in the box (x0, y0, x1, y1), given in units of the face."""
    draw.ellipse([c * SCALE for c in box], **style)


def rosette(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, petals: int, turns: int,
            colour: tuple[int, ...], width: float = 1.6) -> None:
    """A guilloche: `turns` wavy circles with `petals` waves each, every one turned a little further."""
    angle = np.linspace(0, 2 * np.pi, 361)
    for phase in np.linspace(0, 2 * np.pi, turns, endpoint=False):
        r = radius * (0.68 + 0.32 * np.sin(petals * angle + phase) * np.cos(phase / 2))
        curve(draw, centre[0] + r * np.cos(angle), centre[1] + r * np.sin(angle), colour, width)


def numeral(value: int, height: float) -> Image.Image:
    """The number as a mask (mode L), built from a polygon for the 1 and rings for the 0: bold, and no font's."""
    h = height * SCALE
    widths = [0.56 * h if digit == "1" else 0.60 * h for digit in str(value)]
    gap = 0.05 * h
    mask = Image.new("L", (round(sum(widths) + gap * (len(widths) - 1)), round(h)))
    draw, x = ImageDraw.Draw(mask), 0.0
    for digit, w in zip(str(value), widths, strict=True):
        if digit == "1":
            outline = [(0.10, 0.22), (0.40, 0), (0.70, 0), (0.70, 0.86), (1, 0.86), (1, 1), (0, 1), (0, 0.86),
                       (0.30, 0.86), (0.30, 0.26), (0.10, 0.34)]
            draw.polygon([(x + u * w, v * h) for u, v in outline], fill=255)
        else:
            draw.ellipse((x, 0, x + w, h), fill=255)
            draw.ellipse((x + 0.31 * w, 0.15 * h, x + 0.69 * w, 0.85 * h), fill=0)
        x += w + gap
    return mask


def petals(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, turn: float,
           fill: Colour, ink: Colour) -> None:
    """One ring of six petals, outlined, each with its middle vein."""
    angle = np.linspace(0, 2 * np.pi, 361)
    r = radius * (0.45 + 0.55 * np.abs(np.cos(3 * (angle + turn))) ** 0.7)
    x, y = centre[0] + r * np.cos(angle), centre[1] + r * np.sin(angle)
    polygon(draw, x, y, (*fill, 255))
    curve(draw, x, y, (*ink, 255), 3.5)
    for vein in np.arange(6) * np.pi / 3 - turn:
        reach = radius * np.array([0.2, 0.8])
        curve(draw, centre[0] + reach * np.cos(vein), centre[1] + reach * np.sin(vein), (*ink, 150), 2.5)


def flower(draw: ImageDraw.ImageDraw, ink: Colour, tint: Colour, paper: Colour) -> None:
    """The picture of the 1 yuan: an open flower with two leaves."""
    along = np.linspace(0, 1, 60)
    curve(draw, 994 + 34 * np.sin(2.6 * along), 330 + 168 * along, (*ink, 230), 7)
    for side, bottom in ((-1, 474), (1, 446)):
        out, belly = np.sin(np.pi * along / 2), 20 * np.sin(np.pi * along)
        x, y = 1018 + side * 84 * out, bottom - 60 * out
        polygon(draw, np.r_[x, x[::-1]], np.r_[y - belly, (y + belly)[::-1]], (*ink, 190))
    for radius, turn, fill in ((116, 0.0, tint), (88, np.pi / 6, paper), (56, 0.0, tint)):
        petals(draw, (994, 298), radius, turn, fill, ink)
    ellipse(draw, (976, 280, 1012, 316), fill=(*ink, 255))


def mountains(draw: ImageDraw.ImageDraw, ink: Colour, tint: Colour, paper: Colour) -> None:
    """The picture of the 100 yuan: the sun over three ridges and a lake."""
    ellipse(draw, (1016, 192, 1080, 256), fill=(*tint, 255), outline=(*ink, 255), width=3 * SCALE)
    x = np.linspace(830, 1160, 120)
    for foot, height, strength in ((360, 90, 90), (395, 70, 150), (430, 48, 225)):
        crest = np.abs(np.sin((x - 830) / 62 + foot)) + 0.45 * np.abs(np.sin((x - 830) / 23 + 2 * foot))
        polygon(draw, np.r_[x, 1160, 830], np.r_[foot - height * crest, 446, 446], (*ink, strength))
        curve(draw, x, foot - height * crest, (*paper, 200), 3)
    for k in range(5):
        curve(draw, x, 456 + 13 * k + 4 * np.sin(x / 16 + k), (*ink, 210), 4)


@lru_cache
def face(value: int, series: str) -> Image.Image:
    """The flat, clean face of a note, RGB, 1200 x 600. All notes of a kind share it, as real ones do."""
    paper, tint, accent, ink = PALETTES[series, value]
    x = np.linspace(-1, 1, WIDTH * SCALE)[:, None]
    middle = np.array(paper) + (np.array(accent) - paper) * 0.35 * np.exp(-((x - 0.1) / 0.3) ** 2)
    ground = middle + (np.array(tint) - middle) * 0.55 * np.abs(x) ** 1.5
    image = Image.fromarray(np.tile(np.rint(ground).astype(np.uint8), (HEIGHT * SCALE, 1, 1)))
    draw = ImageDraw.Draw(image, "RGBA")

    # two families of waves that cross, a large rosette in the middle
    x = np.linspace(0, WIDTH, 301)
    for k in range(-2, 52):
        curve(draw, x, 12 * k + 16 * np.sin(x / 70 + 0.16 * k), (*tint, 130), 2)
        curve(draw, x, 12 * k + 16 * np.sin(x / 52 - 0.21 * k), (*accent, 110), 2)
    rosette(draw, (600, 300), 225, 12, 26, (*tint, 210), 2.2)
    rosette(draw, (600, 300), 120, 8, 16, (*ink, 95), 1.8)

    # the border: a braid between two lines
    for inset, width in ((22, 5), (56, 2.5)):
        box = [c * SCALE for c in (inset, inset, WIDTH - inset, HEIGHT - inset)]
        draw.rectangle(box, outline=(*ink, 255), width=round(width * SCALE))
    for length, across in ((WIDTH, HEIGHT), (HEIGHT, WIDTH)):
        along = np.linspace(39, length - 39, 601)
        braid = 12 * np.sin(np.linspace(0, 2 * np.pi * round(length / 52), 601))
        for wave in (braid, -braid):
            for edge in (39, across - 39):
                points = (along, edge + wave) if length == WIDTH else (edge + wave, along)
                curve(draw, *points, (*ink, 200), 3)

    # the security thread, and the picture in its oval window
    for top in range(124, HEIGHT - 70, 40):
        draw.rectangle([c * SCALE for c in (800, top, 810, top + 26)], fill=(*ink, 150))
    oval = (860, 160, 1128, 514)
    window, inside = image.copy(), Image.new("L", image.size)
    painter = ImageDraw.Draw(window, "RGBA")
    ellipse(painter, oval, fill=(*paper, 190))
    (flower if value == 1 else mountains)(painter, ink, tint, paper)
    ellipse(ImageDraw.Draw(inside), oval, fill=255)
    image.paste(window, mask=inside)
    ellipse(draw, oval, outline=(*ink, 255), width=6 * SCALE)
    ellipse(draw, (850, 150, 1138, 524), outline=(*ink, 200), width=3 * SCALE)

    # the numerals: a pale halo, then the ink; wavy lines are engraved in the big one
    left, top, height = NUMERALS[value]
    for x0, y0, h in ((left, top, height), (1122 - numeral(value, 62).width / SCALE, 78, 62)):
        mask = Image.new("L", image.size)
        mask.paste(numeral(value, h), (round(x0 * SCALE), round(y0 * SCALE)))
        halo = mask.filter(ImageFilter.GaussianBlur(0.035 * h * SCALE)).point(lambda v: min(255, 5 * v))
        image.paste(paper, mask=halo)
        image.paste(ink, mask=mask)
        if h == height:
            lines = Image.new("L", image.size)
            for k in range(0, HEIGHT, 12):
                curve(ImageDraw.Draw(lines), x, k + 7 * np.sin(x / 26), (255,), 2)
            core = mask.filter(ImageFilter.GaussianBlur(6 * SCALE)).point(lambda v: 255 * (v > 215))
            image.paste(tint, mask=ImageChops.multiply(lines, core))

    for text, x0, y0, size, bold in (("SPECIMEN", 92, 72, 72, 3.2), (WORDS[value], 94, 466, 48, 1.8),
                                     ("PYTORCH COURSE · NOT MONEY", 590, 86, 25, 0.6)):
        draw.text((x0 * SCALE, y0 * SCALE), text, font=font(size * SCALE), fill=(*ink, 255),
                  stroke_width=bold * SCALE, stroke_fill=(*ink, 255))
    return image.reduce(SCALE)


# ------------------------------------------------------------------------------------------------ one used note
def wear(note: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A used note, RGBA: yellowed, folded, stained; three in ten have a corner turned down."""
    w, h = note.size
    y, x = np.mgrid[0:h, 0:w] / h  # both in heights of the note
    light = np.ones((h, w))
    for _ in range(rng.integers(0, 4)):  # a fold: its crest is dark, and one side catches more light
        angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.06)
        distance = (x - rng.uniform(0.2, 1.8)) * np.cos(angle) + (y - rng.uniform(0.2, 0.8)) * np.sin(angle)
        light -= rng.uniform(0.08, 0.25) * np.exp(-((distance / 0.008) ** 2))
        light += rng.uniform(-0.07, 0.07) * np.tanh(distance / 0.05)
    colour = np.asarray(note) * light[..., None]
    colour *= 1 - rng.uniform(0, 0.10) * np.array([0.2, 0.4, 1.0])  # age
    for _ in range(rng.integers(0, 3)):  # a stain: a disc with a darker rim, as a cup leaves it
        r = np.hypot(x - rng.uniform(0, 2), y - rng.uniform(0, 1)) / rng.uniform(0.08, 0.25)
        depth = 0.5 / (1 + np.exp((r - 1) / 0.04)) + 0.5 * np.exp(-(((r - 0.95) / 0.08) ** 2))
        colour *= 1 - rng.uniform(0.05, 0.22) * depth[..., None] * np.array([0.5, 0.8, 1.0])
    worn = Image.fromarray(np.clip(np.rint(colour), 0, 255).astype(np.uint8)).convert("RGBA")
    if rng.random() < 0.3:
        fold = rng.uniform(0.10, 0.22) * h
        x0, y0 = w * rng.integers(2), h * rng.integers(2)  # the corner, and where its tip comes to lie
        x1, y1 = (fold if x0 == 0 else w - fold), (fold if y0 == 0 else h - fold)
        draw = ImageDraw.Draw(worn)
        draw.polygon([(x0, y0), (x1, y0), (x0, y1)], fill=(0, 0, 0, 0))
        back = tuple(110 + channel // 2 for channel in worn.getpixel((w // 2, h // 14))[:3])
        draw.polygon([(x1, y1), (x1, y0), (x0, y1)], fill=(*back, 255), outline=(60, 50, 50, 255))
    return worn


def serial(note: Image.Image, value: int, series: str, rng: np.random.Generator) -> Image.Image:
    """A copy of the face with a serial number of its own printed on it."""
    number = "PT" + "".join(str(digit) for digit in rng.integers(0, 10, 6))
    unit = note.width / WIDTH
    note = note.copy()
    ink = PALETTES[series, value][3]
    ImageDraw.Draw(note).text((594 * unit, 484 * unit), number, ink, font(36 * unit), stroke_width=1.5 * unit)
    return note


# ------------------------------------------------------------------------------------------------ the photograph
def cloud(rng: np.random.Generator, size: tuple[int, int], across: int, down: int) -> np.ndarray:
    """Smooth random noise (height, width) of about unit size, with `across` x `down` cells."""
    cells = Image.fromarray(rng.standard_normal((down, across)).astype(np.float32))
    return np.asarray(cells.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)


def background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """What the note lies on (height, width, 3): wood, cloth, a painted desk, squared paper or stone."""
    w, h = size
    y, x = np.mgrid[0:h, 0:w] / w
    kind = rng.choice(["wood", "cloth", "desk", "paper", "stone"])
    if kind == "wood":
        grain = np.sin(2 * np.pi * (rng.uniform(5, 9) * y + 0.5 * cloud(rng, size, 4, 5)))
        texture = 10 * grain + 7 * cloud(rng, size, 5, 60)
        plank = np.abs((y + rng.uniform(0, 0.3)) % 0.3 - 0.15)
        texture -= 45 * np.exp(-((plank / 0.004) ** 2))
        base = np.array([[150, 122, 98], [112, 90, 76], [186, 164, 138]][rng.integers(3)])
    elif kind == "cloth":
        threads = np.sin(2 * np.pi * 38 * x) * np.sin(2 * np.pi * 38 * y)
        check = (np.sin(2 * np.pi * rng.uniform(3, 6) * x) > 0).astype(int) + (np.sin(2 * np.pi * 4 * y) > 0)
        texture = 8 * threads + rng.uniform(-16, 16) * check + 4 * cloud(rng, size, 6, 4)
        base = rng.uniform(80, 190) + rng.uniform(-26, 26, 3)
    elif kind == "desk":
        texture = 9 * cloud(rng, size, 3, 2) + 2 * cloud(rng, size, 90, 54)
        base = rng.uniform(50, 215) + rng.uniform(-22, 22, 3)
    elif kind == "paper":
        angle, pitch = rng.uniform(-0.4, 0.4), rng.uniform(0.05, 0.09)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        line = np.minimum(np.abs(u % pitch - pitch / 2), np.abs(v % pitch - pitch / 2))
        texture = -46 * np.exp(-((line / 0.0022) ** 2)) + 3 * cloud(rng, size, 5, 3)
        base = np.array([226, 226, 220]) + rng.uniform(-8, 8, 3)
    else:
        texture = 12 * cloud(rng, size, 8, 5) + 12 * cloud(rng, size, 30, 18) + 6 * cloud(rng, size, 100, 60)
        base = rng.uniform(90, 190) + rng.uniform(-10, 10, 3)
    return base + texture[..., None]


def homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 3x3 matrix that maps four source points (4, 2) to four target points in perspective."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), target.reshape(-1)), 1).reshape(3, 3)


def place(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Where the note's corners (4, 2) come to lie in the picture: turned, tilted, and wholly inside."""
    corners = np.array([[-1, -0.5], [1, -0.5], [1, 0.5], [-1, 0.5]])
    angle = rng.normal(0, 0.08)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = corners @ turn.T + rng.uniform(-0.06, 0.06, (4, 2))
    corners -= corners.min(axis=0)
    extent = corners.max(axis=0)
    corners *= rng.uniform(0.80, 0.97) * (np.array(size) / extent).min()
    return corners + rng.uniform(0.2, 0.8, 2) * (np.array(size) - corners.max(axis=0))


def bounds(points: np.ndarray, matrix: np.ndarray) -> Box:
    """The pixel box (x0, y0, x1, y1) around points (n, 2) after the perspective."""
    mapped = np.c_[points, np.ones(len(points))] @ matrix.T
    mapped = mapped[:, :2] / mapped[:, 2:]
    return (*np.floor(mapped.min(axis=0)).astype(int).tolist(), *np.ceil(mapped.max(axis=0)).astype(int).tolist())


def draw_banknote(
    value: int, series: str, rng: np.random.Generator, size: tuple[int, int] = SIZE
) -> tuple[Image.Image, dict[str, Box]]:
    """Draws one photograph of a note.

    Args:
        value: 1 or 100.
        series: "old" or "new" (the new series has a 100 only).
        rng: decides about everything that varies.
        size: width and height of the picture in pixels.

    Returns:
        The picture (RGB), and the boxes (x0, y0, x1, y1) in pixels of the "note" and of its big "numeral".
    """
    w, h = size
    flat = face(value, series).resize((w, w // 2), Image.Resampling.LANCZOS)
    note = wear(serial(flat, value, series, rng), rng)
    corners = place(rng, size)
    sheet = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])

    # Pillow asks for each pixel of the picture where in the note it comes from; twice the size, then
    # halved, gives the note's edge and its fine lines no steps.
    back = homography(2 * corners, sheet * note.size)
    note = note.transform((2 * w, 2 * h), Image.Transform.PERSPECTIVE, back.ravel()[:8], Image.Resampling.BILINEAR)
    note = note.reduce(2)
    alpha = np.asarray(note.getchannel("A"), dtype=np.float64)[..., None] / 255

    scene = background(rng, size)
    aside, below = rng.uniform(-0.02, 0.02) * w, rng.uniform(0, 0.02) * w
    shadow = ImageChops.offset(note.getchannel("A"), round(aside), round(below))
    shadow = np.asarray(shadow.filter(ImageFilter.GaussianBlur(0.012 * w)), dtype=np.float64)[..., None] / 255
    scene *= 1 - 0.45 * shadow
    scene += alpha * (np.asarray(note.convert("RGB")) - scene)

    # light: brighter on one side, warm or cool; then the lens and the sensor
    y, x = np.mgrid[0:h, 0:w] / np.array([h, w]).reshape(2, 1, 1) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = rng.uniform(0.82, 1.08) + rng.uniform(0.05, 0.40) * (x * np.cos(angle) + y * np.sin(angle))
    warmth = rng.normal(0, 0.03)
    scene *= light[..., None] * np.array([1 + warmth, 1, 1 - warmth])
    photo = Image.fromarray(np.clip(np.rint(scene), 0, 255).astype(np.uint8))
    photo = photo.filter(ImageFilter.GaussianBlur(0.005 * rng.random() ** 2 * w))  # most are sharp
    grain = rng.uniform(1, 6) * rng.standard_normal((h, w, 1)) + rng.uniform(0, 2) * rng.standard_normal((h, w, 3))
    photo = Image.fromarray(np.clip(np.rint(np.asarray(photo) + grain), 0, 255).astype(np.uint8))

    left, top, height = NUMERALS[value]
    width = numeral(value, height).width / SCALE
    corner = np.array([left, top]) / [WIDTH, HEIGHT]
    extent = np.array([width, height]) / [WIDTH, HEIGHT]
    forward = homography(sheet, corners)
    return photo, {"note": bounds(sheet, forward), "numeral": bounds(corner + extent * sheet, forward)}


def picture(value: int, series: str, index: int) -> tuple[Image.Image, dict[str, Box]]:
    """The picture number `index` of its kind, from a seed of its own."""
    return draw_banknote(value, series, np.random.default_rng([SEED, series == "new", value, index]))


def main() -> None:
    """Draws every picture and writes the tables of boxes."""
    for folder, series, values, count in SETS:
        rows = [["file"] + [f"{box}_{edge}" for box in ("note", "numeral") for edge in ("x0", "y0", "x1", "y1")]]
        for value in values:
            (DATA / folder / str(value)).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                photo, boxes = picture(value, series, index)
                name = f"{value}/{index:03d}.jpg"
                photo.save(DATA / folder / name, quality=QUALITY, optimize=True)
                rows.append([name, *boxes["note"], *boxes["numeral"]])
        with (DATA / folder / "boxes.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
