"""How long ten epochs of chapter 6's LeNet take on photo-sized JPEGs: file by file, with Banknotes, from memory.

    python tools/bench_loading.py

Three ways train the same network on the same 200 photos (1200 x 600, two folders, made here):
    plain      each epoch opens each file anew: PIL, Resize, ToImage, ToDtype, Normalize
    Banknotes  decodes each file once, at reduced scale, keeps 32 x 32 uint8; a collate_fn finishes whole batches
    memory     a TensorDataset of the finished pictures
The epochs of the last two are run in turns, so that whatever else the machine does meets both alike.
"""
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from make_banknotes import draw_banknote
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate
from torchvision.transforms import v2

from utils.banknotes import CLASSES, Banknotes
from utils.models import LeNet

EPOCHS, BATCH, SIZE = 10, 16, (32, 32)
FINISH = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)])


def make_photos(root: Path, drawings: int = 20, copies: int = 5) -> None:
    """Fills the two class folders. Drawing takes longer than training, so each drawing is saved several times."""
    for label, name in enumerate(CLASSES):
        (root / name).mkdir()
        for k in range(drawings):
            photo, _ = draw_banknote(int(name), "old", np.random.default_rng([label, k]), size=(1200, 600))
            for copy in range(copies):
                photo.save(root / name / f"{k:02d}_{copy}.jpg", quality=90)


def open_plainly(path: Path) -> Image.Image:
    """What most courses' datasets do for each picture in each epoch."""
    return Image.open(path).convert("RGB")


class Plain(Banknotes):
    """The plain dataset: the same files and labels, each picture opened and transformed when it is asked for."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(open_plainly(self.files[index])), self.labels[index]


def finish(batch: list) -> tuple[torch.Tensor, torch.Tensor]:
    """A collate_fn: two calls for a batch of uint8 pictures instead of two for each of them."""
    images, labels = default_collate(batch)
    return FINISH(images), labels


def epochs(dataset: Dataset, collate_fn: Callable = default_collate) -> Iterator[tuple[float, float]]:
    """Trains LeNet for EPOCHS epochs and yields each one's seconds, loading included, and training accuracy."""
    order = torch.Generator().manual_seed(0)
    loader = DataLoader(dataset, BATCH, shuffle=True, generator=order, collate_fn=collate_fn)
    torch.manual_seed(0)
    net = LeNet()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(EPOCHS):
        start, right = time.perf_counter(), 0
        for images, labels in loader:
            optimizer.zero_grad()
            logits = net(images)
            nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()
            right += (logits.argmax(1) == labels).sum()
        yield time.perf_counter() - start, float(right / len(dataset))


def main() -> None:
    """Measures the three ways in one run and prints a table."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # batches this small are slowed by a second thread
    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder))
        resize = v2.Compose([v2.Resize(SIZE), v2.ToImage()])
        plain_notes = Plain(folder, v2.Compose([resize, FINISH]))
        plain = list(epochs(plain_notes))
        start = time.perf_counter()
        notes = Banknotes(folder, size=SIZE)
        reading = time.perf_counter() - start
        exact = torch.stack([resize(open_plainly(file)) for file in notes.files])
    in_memory = TensorDataset(FINISH(notes.pictures), torch.tensor(notes.labels))
    ours, memory = zip(*zip(epochs(notes, finish), epochs(in_memory), strict=True), strict=True)
    torch.set_num_threads(threads)

    print(f"Loading: LeNet, {EPOCHS} epochs, {len(notes)} JPEGs of 1200 x 600, batches of {BATCH}")
    row = "{:<11} {:>10} {:>12} {:>9} {:>9} {:>15} {:>9}".format
    print(row("way", "reading s", "epoch ms", "in all s", "of plain", "epoch : memory", "accuracy"))
    plain_total, memory_epoch = sum(seconds for seconds, _ in plain), typical(memory)
    for way, before, each in (("plain", 0.0, plain), ("Banknotes", reading, ours), ("memory", 0.0, memory)):
        total = before + sum(seconds for seconds, _ in each)
        print(row(way, f"{before:.2f}", f"{1e3 * typical(each):.1f}", f"{total:.2f}", f"{total / plain_total:.3f}",
                  f"{typical(each) / memory_epoch:.2f}", f"{each[-1][1]:.3f}"))
    difference = (notes.pictures.int() - exact.int()).abs()
    print(f"Pixels of Banknotes differ from the plain ones by {difference.float().mean():.2f} of 255 on average, "
          f"by {difference.max()} at most.")


def typical(each: Sequence[tuple[float, float]]) -> float:
    """The median seconds of the epochs after the first, which also warms up."""
    return median(seconds for seconds, _ in each[1:])


if __name__ == "__main__":
    main()
