"""The banknotes: the pictures that ship, their generator, and what reads, splits and loads them."""
import csv
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision.transforms import v2

from tools import make_banknotes
from utils import banknotes
from utils.banknotes import Banknotes, banknotes_dir, boxes, new_series_dir, read_picture, split

SHIPPED = [banknotes.DATA / "banknotes", new_series_dir()]


@pytest.fixture(autouse=True)
def _shipped_pictures(monkeypatch):
    monkeypatch.delenv("BANKNOTES_DIR", raising=False)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of two plain pictures of each class, with a space and Chinese characters in its name."""
    root = tmp_path / "my notes 钞票"
    for name, colour in (("1", (200, 120, 110)), ("100", (90, 110, 160))):
        (root / name).mkdir(parents=True)
        for k in range(2):
            Image.new("RGB", (80, 40), colour).save(root / name / f"{k}.jpg")
    return root


def one_sentence(error: pytest.ExceptionInfo, *words: str) -> None:
    """The message is one line of ordinary length, ends as a sentence, and holds the words."""
    message = str(error.value)
    assert "\n" not in message and message.endswith(".") and len(message) < 400
    for word in words:
        assert word in message
    assert error.value.__suppress_context__ or error.value.__context__ is None


# The pictures that ship

def test_pictures_are_as_many_and_as_small_as_promised():
    assert [sum(label == k for label in Banknotes().labels) for k in (0, 1)] == [100, 100]
    assert set(Banknotes(new_series_dir(), folders=["100"]).labels) == {1}
    assert len(list(new_series_dir().glob("100/*.jpg"))) == 40
    assert sum(file.stat().st_size for root in SHIPPED for file in root.rglob("*") if file.is_file()) <= 2e6


@pytest.mark.parametrize(("value", "series", "index"), [(1, "old", 0), (100, "old", 57), (100, "new", 39)])
def test_generator_draws_the_shipped_pictures_again(value, series, index, tmp_path):
    photo, drawn = make_banknotes.picture(value, series, index)
    root, name = SHIPPED[series == "new"], f"{value}/{index:03d}.jpg"
    photo.save(tmp_path / "again.jpg", quality=make_banknotes.QUALITY, optimize=True)
    again, shipped = (np.asarray(Image.open(file), dtype=int) for file in (tmp_path / "again.jpg", root / name))
    assert np.abs(again - shipped).max() <= 2  # JPEG decoders may round differently
    assert boxes(root)[name] == drawn


@pytest.mark.parametrize("root", SHIPPED, ids=lambda root: root.name)
def test_every_picture_has_boxes_inside_it(root):
    files = {file.relative_to(root).as_posix(): file for file in root.glob("*/*.jpg")}
    known = boxes(root)
    assert known.keys() == files.keys()
    for name, file in files.items():
        with Image.open(file) as image:
            w, h = image.size
        note, numeral = known[name]["note"], known[name]["numeral"]
        assert 0 <= note[0] <= numeral[0] < numeral[2] <= note[2] <= w
        assert 0 <= note[1] <= numeral[1] < numeral[3] <= note[3] <= h


def test_drawing_of_another_size_depends_on_the_seed_alone():
    first, second, other = (
        make_banknotes.draw_banknote(100, "new", np.random.default_rng(seed), size=(1200, 600)) for seed in (3, 3, 4)
    )
    assert first[0].size == (1200, 600) and first[0].mode == "RGB"
    assert first[0].tobytes() == second[0].tobytes() != other[0].tobytes()
    assert first[1] == second[1] != other[1]


def test_colour_average_separates_the_old_series_and_fails_on_the_new():
    from sklearn.linear_model import LogisticRegression

    old, new = Banknotes(size=(32, 32)), Banknotes(new_series_dir(), size=(32, 32), folders=["100"])
    colours = [notes.pictures.float().mean(dim=(2, 3)).numpy() / 255 for notes in (old, new)]
    by_colour = LogisticRegression(C=1e4, max_iter=1000).fit(colours[0], old.labels)
    assert by_colour.score(colours[0], old.labels) >= 0.98
    assert by_colour.score(colours[1], new.labels) <= 0.1
    brightness = colours[0] @ np.array([[0.299], [0.587], [0.114]])
    by_brightness = LogisticRegression(C=1e4, max_iter=1000).fit(brightness, old.labels)
    assert by_brightness.score(brightness, old.labels) <= 0.7  # in gray, the shape has to be looked at


# Folders

def test_own_folder_is_read_instead_of_the_shipped_one(folder, monkeypatch):
    monkeypatch.setenv("BANKNOTES_DIR", str(folder))
    notes = Banknotes()
    assert banknotes_dir() == folder
    assert notes.files == [folder / "1/0.jpg", folder / "1/1.jpg", folder / "100/0.jpg", folder / "100/1.jpg"]
    assert notes.labels == [0, 0, 1, 1] and notes.classes == ("1", "100")


def test_hidden_files_are_left_out(folder):
    for name in (".DS_Store", "._0.jpg", "Thumbs.db"):
        (folder / "1" / name).write_bytes(b"not a picture")
    (folder / "100" / ".thumbnails").mkdir()
    assert len(Banknotes(folder, size=(8, 8))) == 4


def test_own_folder_missing_or_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("BANKNOTES_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError) as error:
        Banknotes()
    one_sentence(error, "BANKNOTES_DIR", "nowhere", "unset")
    (tmp_path / "nowhere").write_text("")
    with pytest.raises(NotADirectoryError) as error:
        Banknotes()
    one_sentence(error, "BANKNOTES_DIR", "nowhere", "unset")


def test_empty_folder_and_class_folder_missing_empty_or_a_file(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError) as error:
        Banknotes(tmp_path / "empty")
    one_sentence(error, str(tmp_path / "empty" / "1"), "BANKNOTES_DIR")
    for file in (folder / "100").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError) as error:
        Banknotes(folder)
    one_sentence(error, str(folder / "100"), "no picture")
    (folder / "100").rmdir()
    with pytest.raises(FileNotFoundError) as error:
        Banknotes(folder)
    one_sentence(error, str(folder / "100"), "BANKNOTES_DIR")
    (folder / "100").write_text("")
    with pytest.raises(NotADirectoryError) as error:
        Banknotes(folder)
    one_sentence(error, str(folder / "100"), "BANKNOTES_DIR")


def test_boxes_of_own_photos_are_not_known(folder):
    with pytest.raises(FileNotFoundError) as error:
        boxes(folder)
    one_sentence(error, "boxes.csv")


# Pictures of every kind

def _png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size: a decompression bomb."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [None, (8, 8)], ids=["whole", "resized"])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a picture"),
        (b"a letter to grandmother", "not a picture"),
        ("truncated", "truncated"),
        (_png_that_claims(10_000, 10_000), "bomb"),  # where Pillow warns
        (_png_that_claims(60_000, 60_000), "bomb"),  # where Pillow refuses
    ],
    ids=["empty", "text", "truncated", "bomb", "larger bomb"],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_read_is_named(folder, content, why, size):
    file = folder / "100" / "1.jpg"
    if content == "truncated":
        content = (SHIPPED[0] / "100/000.jpg").read_bytes()[:3000]
    file.write_bytes(content)
    with pytest.raises(ValueError) as error:
        Banknotes(folder, size=size)[3]
    one_sentence(error, str(file), why, "take it out of the folder")


def test_missing_file_stays_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "gone.jpg")


@pytest.mark.parametrize("size", [None, (20, 40)], ids=["whole", "resized"])
def test_pictures_of_other_modes_become_rgb(tmp_path, size):
    gray = np.tile(np.linspace(0, 255, 80).astype(np.uint8), (40, 1))
    expected = np.asarray(read_picture_of(tmp_path / "l.png", Image.fromarray(gray), size), dtype=int)
    kinds = {
        "palette.png": Image.fromarray(gray).convert("P"),
        "la.png": Image.fromarray(gray).convert("LA"),
        "rgba.png": Image.fromarray(gray).convert("RGBA"),
        "deep.png": Image.fromarray(gray.astype(np.uint16) * 257),
        "deep.tif": Image.fromarray(gray.astype(np.uint16) * 257),
        "gray.jpg": Image.fromarray(gray),
        "cmyk.jpg": Image.fromarray(gray).convert("RGB").convert("CMYK"),
        "cmyk.tif": Image.fromarray(gray).convert("RGB").convert("CMYK"),
    }
    for name, image in kinds.items():
        picture = read_picture_of(tmp_path / name, image, size)
        assert picture.mode == "RGB"
        assert np.abs(np.asarray(picture, dtype=int) - expected).max() <= 6, name  # JPEG


def read_picture_of(path: Path, image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    image.save(path)
    return read_picture(path, size)


def test_transparent_pixels_become_white(tmp_path):
    picture = read_picture_of(tmp_path / "clear.png", Image.new("RGBA", (4, 4), (255, 0, 0, 0)), None)
    assert picture.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("size", [None, (50, 100)], ids=["whole", "resized"])
def test_picture_lying_on_its_side_is_turned(tmp_path, size):
    upright = Image.open(SHIPPED[0] / "1/000.jpg").resize((800, 400))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me a quarter clockwise"
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.jpg", exif=exif, quality=95)
    upright.save(tmp_path / "upright.jpg", quality=95)
    turned, expected = (read_picture(tmp_path / name, size) for name in ("side.jpg", "upright.jpg"))
    assert turned.size == expected.size == (800, 400) if size is None else (100, 50)
    assert np.abs(np.asarray(turned, dtype=int) - np.asarray(expected, dtype=int)).mean() < 2


# The dataset

def test_resized_pictures_agree_with_the_plain_way(tmp_path):
    """At most 10 of 255 for any pixel of a photo that was decoded at an eighth, 1 on average; equal without a JPEG."""
    photo, _ = make_banknotes.draw_banknote(1, "old", np.random.default_rng(0), size=(1200, 600))
    resize = v2.Compose([v2.Resize((32, 32)), v2.PILToTensor()])
    for name in ("1", "100"):
        (tmp_path / name).mkdir()
    photo.save(tmp_path / "1/photo.jpg", quality=90)
    photo.save(tmp_path / "100/photo.png")
    fast, plain = Banknotes(tmp_path, size=(32, 32)), Banknotes(tmp_path, transform=resize)
    assert fast.pictures.shape == (2, 3, 32, 32) and fast.pictures.dtype == torch.uint8
    difference = (fast[0][0].int() - plain[0][0].int()).abs()
    assert difference.max() <= 10 and difference.float().mean() <= 1
    assert torch.equal(fast[1][0], plain[1][0])


def test_items_are_picture_and_label_and_the_transform_is_called(folder):
    image, label = Banknotes(folder)[2]
    assert image.size == (80, 40) and image.mode == "RGB" and label == 1
    image, label = Banknotes(folder, size=(10, 20), transform=v2.ToDtype(torch.float32, scale=True))[0]
    assert image.shape == (3, 10, 20) and image.dtype == torch.float32 and label == 0


def test_files_are_decoded_once(folder, monkeypatch):
    notes = Banknotes(folder, size=(8, 8))
    monkeypatch.setattr(banknotes, "read_picture", lambda *_: pytest.fail("a file was read again"))
    assert len(list(DataLoader(notes, batch_size=2))) == 2


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_every_start_method_can_load_it(folder, method):
    loader = DataLoader(
        Subset(Banknotes(folder, size=(8, 8)), [0, 3]), batch_size=2, num_workers=1, multiprocessing_context=method
    )
    (images, labels), = loader
    assert images.shape == (2, 3, 8, 8) and labels.tolist() == [0, 1]


# The split

def test_split_is_disjoint_complete_stratified_and_seeded():
    labels = Banknotes().labels
    parts = split(labels, seed=7)
    assert [len(part) for part in parts] == [160, 20, 20]
    assert sorted(index for part in parts for index in part) == list(range(200))
    assert [sum(labels[index] for index in part) for part in parts] == [80, 10, 10]
    torch.rand(5)  # other random numbers make no difference
    assert split(labels, seed=7) == parts != split(labels, seed=8)


def test_split_of_few_and_uneven_classes_loses_nothing():
    labels = [0] * 7 + [1] * 23 + [2]
    parts = split(labels, seed=0, parts=(0.5, 0.3, 0.2))
    assert sorted(index for part in parts for index in part) == list(range(len(labels)))


@pytest.mark.parametrize("parts", [(0.8, 0.1), (1.2, -0.2)])
def test_split_refuses_parts_that_do_not_add_up(parts):
    with pytest.raises(ValueError) as error:
        split([0, 1], seed=0, parts=parts)
    one_sentence(error, "parts", "add up to 1")


def test_table_of_boxes_has_the_documented_columns():
    with (SHIPPED[0] / "boxes.csv").open(newline="") as file:
        header = next(csv.reader(file))
    edges = ["x0", "y0", "x1", "y1"]
    assert header == ["file"] + [f"{box}_{edge}" for box in ("note", "numeral") for edge in edges]
