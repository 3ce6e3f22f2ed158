"""The banknotes: 1 yuan against 100 yuan, from the pictures that ship or from a learner's own photos.

A folder of banknotes holds one folder for each class, ``1`` and ``100``, with nothing in them but pictures.
"""
import csv
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.utils.data import Dataset

CLASSES = ("1", "100")  # the folders' names, in the order of the labels 0 and 1
DATA = Path(__file__).resolve().parent.parent / "data"

Box = tuple[int, int, int, int]


def banknotes_dir() -> Path:
    """The folder of banknotes that every chapter reads: BANKNOTES_DIR if it is set, else the one that ships.

    Raises:
        FileNotFoundError: it does not exist.
        NotADirectoryError: it is a file.
    """
    own = os.environ.get("BANKNOTES_DIR")
    if not own:
        return DATA / "banknotes"
    root = Path(own).expanduser()
    remedy = "set it to a folder that holds the folders 1 and 100 with your photos, or unset it."
    if not root.exists():
        raise FileNotFoundError(f"BANKNOTES_DIR={own} does not exist: {remedy}")
    if not root.is_dir():
        raise NotADirectoryError(f"BANKNOTES_DIR={own} is a file: {remedy}")
    return root


def new_series_dir() -> Path:
    """The folder of the new series, which ships with the course: its only class folder is ``100``, in red."""
    return DATA / "banknotes_new_series"


def read_picture(path: str | Path, size: tuple[int, int] | None = None) -> Image.Image:
    """Reads one picture as RGB, upright, whatever its file holds.

    Gray, palette, CMYK and 16-bit pictures are converted, transparent ones laid on white, and those that a camera
    stored lying on their side (EXIF) turned.

    Args:
        path: the file.
        size: height and width to resize to (bilinear, with antialiasing). A JPEG is then decoded at a half,
            a quarter or an eighth of its size, which is several times faster, as long as at least twice
            the pixels that are wanted remain.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no picture, is damaged, or has so many pixels that Pillow suspects a decompression bomb.
    """
    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            with Image.open(path) as image:
                if size:
                    side = 2 * max(size)  # width and height alike, for the picture may have to be turned yet
                    image.draft(None, (side, side))
                image = _as_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes can raise anything, from OSError to struct.error
        why = "it is not a picture" if isinstance(error, UnidentifiedImageError) else error
        remedy = "save it anew as a JPEG of ordinary size, or take it out of the folder."
        raise ValueError(f"{path} cannot be read ({why}): {remedy}") from None
    return image.resize(size[::-1], Image.Resampling.BILINEAR) if size else image


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel: keep the upper eight
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


class Banknotes(Dataset):
    """Pictures of banknotes with their labels: 0 for 1 yuan, 1 for 100 yuan.

    Without ``size`` a picture is read from its file each time it is asked for, as a PIL image. With ``size`` all of
    them are read now, once, and kept in memory as a uint8 tensor; no later epoch decodes a file again. What is then
    slowest are ToDtype and Normalize: in a collate_fn, applied to a batch at a time, they cost next to nothing.

    Args:
        root: a folder with the class folders; None means banknotes_dir().
        transform: called with each picture: a PIL image, or with ``size`` a uint8 tensor (3, height, width).
        size: height and width of the pictures, in pixels.
        folders: the class folders to read. The new series has one: ``Banknotes(new_series_dir(), folders=["100"])``.

    Attributes:
        classes: the classes' names, ("1", "100"); a label is an index into them.
        files: the paths, class by class in the order of their names. Hidden files and Thumbs.db are left out.
        labels: the labels, one for each file.
        pictures: with ``size``, the tensor (n, 3, height, width) of all pictures, uint8.

    Raises:
        FileNotFoundError: the root or a class folder does not exist, or a class folder holds no picture.
        NotADirectoryError: one of them is a file.
        ValueError: a file cannot be read as a picture (with ``size`` at once, else when it is asked for).
    """

    classes = CLASSES

    def __init__(
        self,
        root: str | Path | None = None,
        transform: Callable | None = None,
        size: tuple[int, int] | None = None,
        folders: Sequence[str] = CLASSES,
    ):
        root = banknotes_dir() if root is None else Path(root)
        self.transform = transform
        self.files: list[Path] = []
        self.labels: list[int] = []
        for folder in folders:
            files = _pictures_in(root / folder)
            self.files += files
            self.labels += [CLASSES.index(folder)] * len(files)
        self.pictures = None
        if size:
            self.pictures = torch.empty(len(self.files), 3, *size, dtype=torch.uint8)
            for picture, file in zip(self.pictures, self.files, strict=True):
                picture.copy_(torch.from_numpy(np.array(read_picture(file, size))).permute(2, 0, 1))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple:
        """The picture, transformed, and its label (an int)."""
        image = read_picture(self.files[index]) if self.pictures is None else self.pictures[index]
        if self.transform:
            image = self.transform(image)
        return image, self.labels[index]


def _pictures_in(folder: Path) -> list[Path]:
    remedy = "banknotes lie in two folders, 1 and 100, inside the one that BANKNOTES_DIR or root names."
    if not folder.exists():
        raise FileNotFoundError(f"The folder {folder} does not exist: {remedy}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, not a folder of pictures: {remedy}")
    files = sorted(file for file in folder.iterdir() if file.is_file() and not _is_hidden(file.name))
    if not files:
        raise FileNotFoundError(f"The folder {folder} holds no picture: put photos of that banknote into it.")
    return files


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() == "thumbs.db"  # what macOS, Linux and Windows leave in folders


def split(labels: Sequence[int], seed: int, parts: Sequence[float] = (0.8, 0.1, 0.1)) -> tuple[list[int], ...]:
    """Divides a dataset at random into parts that share no index and have the same mix of classes.

    Args:
        labels: the label of each item, such as ``Banknotes().labels``.
        seed: the same seed gives the same parts, whatever other random numbers were drawn before.
        parts: the parts' shares of each class; they add up to 1.

    Returns:
        For each part its indices in ascending order, for torch.utils.data.Subset.

    Raises:
        ValueError: the shares do not add up to 1.
    """
    if abs(sum(parts) - 1) > 1e-6 or min(parts) < 0:
        raise ValueError(f"parts={tuple(parts)} must be shares that add up to 1, such as (0.8, 0.1, 0.1).")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.as_tensor(labels)
    chosen: list[list[int]] = [[] for _ in parts]
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        ends = [round(len(members) * sum(parts[: k + 1])) for k in range(len(parts))]
        for part, start, end in zip(chosen, [0, *ends], ends, strict=False):
            part += members[start:end].tolist()
    return tuple(sorted(part) for part in chosen)


def boxes(root: str | Path) -> dict[str, dict[str, Box]]:
    """Where the note and its big numeral lie in each picture, from the table boxes.csv of a folder that ships.

    Returns:
        For each file (its path below root, such as "1/007.jpg") the boxes "note" and "numeral", each as
        (x0, y0, x1, y1) in pixels of the picture as stored, from its upper left corner.

    Raises:
        FileNotFoundError: the folder has no boxes.csv, as with one's own photos.
    """
    table = Path(root) / "boxes.csv"
    if not table.exists():
        raise FileNotFoundError(f"{table} does not exist: boxes are known for the pictures that ship with the course.")
    with table.open(newline="") as file:
        _, *rows = csv.reader(file)
    return {
        name: {"note": tuple(map(int, edges[:4])), "numeral": tuple(map(int, edges[4:]))} for name, *edges in rows
    }
