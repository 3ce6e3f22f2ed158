"""Makes the pictures of TensorBoard's page that week 5 shows: `make screenshots` writes notebooks/week5/images/ anew.

    python tools/screenshots.py [NAME ...]

For each picture the tool writes event files like those of the chapter, serves them (utils.tensorboard) and lets a
headless Chromium draw the page: the program chromium, chromium-browser or google-chrome on PATH, or the one that the
environment variable CHROMIUM names. Only this tool needs a browser; no chapter and no test does.
"""
import base64
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from run import small_png
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from utils import set_seed
from utils.banknotes import Banknotes, split
from utils.datasets import digits, two_gaussians
from utils.models import LeNet
from utils.tensorboard import serve
from utils.training import evaluate, train_one_epoch

IMAGES = Path(__file__).resolve().parent.parent / "notebooks" / "week5" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MOST_BYTES = 150_000
TIMEOUT = 120  # seconds; a browser that takes longer is stuck
START = 1_600_000_000  # the seconds since 1970 at which every run begins, so that the pages show the same time


# ------------------------------------------------------------------------------------------------ what the pages show
def write_two_runs(folder: str) -> None:
    """The two runs of chapter 20: logistic regression with a small and a large learning rate."""
    X, y = two_gaussians()
    for lr in (0.03, 0.3):
        set_seed(20)
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        with SummaryWriter(f"{folder}/lr={lr}") as writer:
            for step in range(100):
                batch = torch.randint(len(X), (8,))
                loss = binary_cross_entropy_with_logits(model(X[batch]).squeeze(1), y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                accuracy = ((model(X).squeeze(1) > 0) == (y == 1)).float().mean()
                for tag, value in (("train/loss", loss), ("train/accuracy", accuracy)):
                    writer.add_scalar(tag, value.item(), step, walltime=START + step)


def write_embedding(folder: str) -> None:
    """The digits 0 to 3 as points with 64 coordinates."""
    images, labels = digits()
    few = (labels < 4).nonzero().flatten()[:300]
    with SummaryWriter(f"{folder}/digits") as writer:
        writer.add_embedding(images[few].flatten(1), metadata=labels[few].tolist(), label_img=1 - images[few],
                             tag="pixels")


def banknotes() -> TensorDataset:
    """The course's banknotes, 32 pixels wide and high, normalised."""
    notes = Banknotes(size=(32, 32))
    return TensorDataset((notes.pictures / 255 - 0.5) / 0.25, torch.tensor(notes.labels))


def write_histograms(folder: str) -> None:
    """Weights of the LeNet that chapter 21 trains on the banknotes, after each epoch; the same run."""
    data, loss_fn = banknotes(), nn.CrossEntropyLoss()
    train, valid, _ = split(data.tensors[1], seed=1)
    set_seed(0)
    model = LeNet()
    loaders = [DataLoader(Subset(data, train), batch_size=16, shuffle=True), DataLoader(Subset(data, valid))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    with SummaryWriter(f"{folder}/relu") as writer:
        for epoch in range(1, 13):
            train_one_epoch(model, loaders[0], loss_fn, optimizer)
            for loader in loaders:  # for the random numbers that a look at a loader takes
                evaluate(model, loader, loss_fn)
            for name in ("conv1.weight", "fc3.weight"):
                writer.add_histogram(f"weights/{name}", model.get_parameter(name), epoch, walltime=START + epoch)


def write_images(folder: str) -> None:
    """A grid of banknotes and a grid of feature maps."""
    set_seed(0)
    X, _ = banknotes()[::25]
    maps = LeNet().conv1(X[:1]).detach().transpose(0, 1)
    grids = {"lenet/banknotes": make_grid(X, nrow=4, normalize=True),
             "lenet/feature maps": make_grid(maps, nrow=3, normalize=True, scale_each=True)}
    with SummaryWriter(f"{folder}/notes") as writer:
        for tag, grid in grids.items():
            writer.add_image(tag, grid, 0, walltime=START)


def write_graph(folder: str) -> None:
    """The graph of LeNet."""
    with SummaryWriter(f"{folder}/lenet") as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it traces with torch.jit.trace, which is deprecated
        writer.add_graph(LeNet(), torch.zeros(1, 3, 32, 32))


@dataclass(frozen=True)
class Page:
    """A picture: who writes its event files, the page's fragment of the address, width and height in pixels."""

    write: Callable[[str], None]
    fragment: str
    size: tuple[int, int]


PAGES = {
    "20_time_series.png": Page(write_two_runs, "timeseries", (1320, 690)),
    "20_projector.png": Page(write_embedding, "projector", (1100, 640)),
    "21_histograms.png": Page(write_histograms, "histograms", (1000, 460)),
    "22_images.png": Page(write_images, "images", (1120, 460)),
    "22_graph.png": Page(write_graph, "graphs", (1000, 560)),
}


# ------------------------------------------------------------------------------------------------ the pictures
def find_browser() -> str:
    """The path of a Chromium.

    Raises:
        SystemExit: there is none; the sentence says how to name one.
    """
    named = os.environ.get("CHROMIUM")
    for browser in (named,) if named else BROWSERS:
        if found := shutil.which(browser):
            return found
    sys.exit(f"CHROMIUM={named} is no program: set it to the path of a Chromium or Chrome." if named else
             f"The pictures need a browser ({', '.join(BROWSERS)}), and none is on PATH: install Chromium, or set "
             "CHROMIUM to its path.")


def shoot(browser: str, url: str, file: Path, size: tuple[int, int]) -> None:
    """Lets the browser draw a page and save what it shows as a PNG.

    Raises:
        SystemExit: the browser made no picture; the sentence ends with its last message.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=15000", f"--screenshot={file}", url,
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium refuses to start for root otherwise
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, errors="replace",
                                  env={**os.environ, "TZ": "UTC"})
            said = done.stderr.strip()
        except subprocess.TimeoutExpired:
            said = f"it took longer than {TIMEOUT} seconds"
    if not file.exists():
        sys.exit(f"{browser} made no picture of {url}: {said.splitlines()[-1] if said else 'it did not say why'}")


def make_picture(browser: str, name: str, images: Path) -> Path:
    """Writes event files, has their page drawn, and keeps the picture with 256 colours.

    Raises:
        SystemExit: the browser made no picture, or one that is too large.
    """
    page, target = PAGES[name], images / name
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        page.write("runs")
        with serve("runs") as url:  # the page shows the folder's name as given: no path of this machine
            shoot(browser, f"{url}?forceSVG=true#{page.fragment}", Path(folder) / name, page.size)
        picture = base64.b64decode(small_png(base64.b64encode((Path(folder) / name).read_bytes()).decode()))
    if len(picture) > MOST_BYTES:
        sys.exit(f"{name} has {len(picture) / 1000:.0f} kB, more than {MOST_BYTES / 1000:.0f}: make its page smaller.")
    images.mkdir(parents=True, exist_ok=True)
    target.write_bytes(picture)
    return target


def main() -> None:
    names = sys.argv[1:] or list(PAGES)
    if unknown := sorted(set(names) - set(PAGES)):
        sys.exit(f"There is no picture {unknown[0]}: choose from {', '.join(PAGES)}.")
    browser = find_browser()
    torch.set_num_threads(1)
    for name in names:
        picture = make_picture(browser, name, IMAGES)
        with Image.open(picture) as image:
            print(f"{name}: {image.width} x {image.height} pixels, {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
