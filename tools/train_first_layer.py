"""Trains data/first_layer.pt: a first layer for AlexNet whose kernels have learned from what ships with the course.

    make kernels     writes data/first_layer.pt anew, in one or two minutes on two cores

Nobody labels anything: a square is cut from a picture, given none, one, two or three quarter turns, and a small
network has to say how many. To know which way is up it needs edges, stripes and colours, and these its first layer
learns. The pictures are the two photographs of scikit-learn and the course's own banknotes.

The weights depend on the machine in their last digits, and training lets such differences grow: another machine
gives other kernels of the same kind. Chapter 22 looks at them.

Source: S. Gidaris, P. Singh, N. Komodakis, Unsupervised representation learning by predicting image rotations, 2018.
"""
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from utils import set_seed
from utils.banknotes import DATA, Banknotes
from utils.datasets import photo
from utils.models import AlexNet

OUT = DATA / "first_layer.pt"
SIDE = 67  # pixels of a square: conv1 then makes maps of 16 x 16
STEPS, BATCH, LR = 2500, 64, 2e-3
# The first layer's own decay is strong: the noise that its kernels begin with fades, what gradients renew stays.
DECAY, DECAY_FIRST = 0.05, 4.0
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # those of ImageNet, as for torchvision's AlexNet
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def sizes(picture: torch.Tensor) -> list[torch.Tensor]:
    """A picture (3, H, W) at its own size and at 0.8, 0.64, ... of it, down to a third or to what a square needs."""
    shrunk, scale = [], 1.0
    while scale > 0.3 and min(picture.shape[-2:]) * scale >= SIDE + 8:
        shrunk.append(F.interpolate(picture[None], scale_factor=scale, mode="bilinear", antialias=True)[0])
        scale *= 0.8
    return shrunk


def sources() -> list[list[list[torch.Tensor]]]:
    """The two photographs and the banknotes, each a list of pictures, each picture in several sizes, in [0, 1]."""
    photos = [torch.from_numpy(np.array(photo(name))).permute(2, 0, 1) / 255 for name in ("china", "flower")]
    notes = Banknotes(DATA / "banknotes", size=(120, 200)).pictures / 255
    return [[sizes(photos[0])], [sizes(photos[1])], [sizes(note) for note in notes]]


def choose(items: list):
    return items[int(torch.randint(len(items), ()))]


def turned_squares(pictures: list[list[list[torch.Tensor]]], n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of the task: squares (n, 3, SIDE, SIDE), ready for the network, and their quarter turns (n,), 0 to 3."""
    X = torch.empty(n, 3, SIDE, SIDE)
    y = torch.randint(4, (n,))
    for square, turns in zip(X, y.tolist(), strict=True):
        picture = choose(choose(choose(pictures)))
        top, left = (int(torch.randint(size - SIDE + 1, ())) for size in picture.shape[-2:])
        cut = picture[:, top : top + SIDE, left : left + SIDE]
        if torch.rand(()) < 0.5:
            cut = cut.flip(2)  # left and right may be swapped: up stays up
        square.copy_(cut.rot90(turns, (1, 2)))
    contrast, brightness, saturation = 2 * torch.rand(3, n, 1, 1, 1) - 1  # each from -1 to 1
    mean = X.mean((1, 2, 3), keepdim=True)
    X = mean + (X - mean) * (1 + 0.2 * contrast) + 0.2 * brightness
    gray = X.mean(1, keepdim=True)
    X = gray + (X - gray) * (1 + 0.5 * saturation)
    return (X - MEAN) / STD + 0.1 * torch.randn_like(X), y


def make_network() -> nn.Sequential:
    """conv1 of the course's AlexNet and, on top of it, just enough to tell four turns apart."""
    def block(channels: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, 96, 3, padding=1), nn.BatchNorm2d(96), nn.ReLU()]

    return nn.Sequential(
        AlexNet().features[0], nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2),
        *block(64), nn.MaxPool2d(3, 2), *block(96),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 4),
    )


def train(network: nn.Sequential, pictures: list[list[list[torch.Tensor]]], steps: int) -> float:
    """Trains in place; returns the accuracy of the last tenth of the steps."""
    kernels, *others = network.parameters()
    optimizer = torch.optim.AdamW([{"params": [kernels], "weight_decay": DECAY_FIRST}, {"params": others}],
                                  lr=LR, weight_decay=DECAY)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=steps)
    correct = []
    for step in range(1, steps + 1):
        X, y = turned_squares(pictures, BATCH)
        logits = network(X)
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        correct.append((logits.argmax(1) == y).float().mean().item())
        if step % 250 == 0:
            print(f"step {step}: accuracy {np.mean(correct[-250:]):.2f}", flush=True)
    return float(np.mean(correct[-max(1, steps // 10):]))


def main() -> None:
    set_seed(22)
    start = time.perf_counter()
    network = make_network()
    accuracy = train(network, sources(), STEPS)
    # One convolution that computes what it and its batch normalisation compute in evaluation mode (chapter 26).
    torch.save(fuse_conv_bn_eval(*network.eval()[:2]).state_dict(), OUT)
    print(f"{OUT.name}: accuracy {accuracy:.2f}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
