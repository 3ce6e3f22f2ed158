"""A training run that may be killed at any time: started again, it goes on after its last checkpoint.

    python resumable_training.py FOLDER [--wait]

With --wait it reads a line from its standard input before each epoch, so that whoever started it can stop it.
"""
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from utils import set_seed
from utils.checkpoint import load_checkpoint, rng_state, save_checkpoint, set_rng_state
from utils.datasets import two_gaussians
from utils.training import train_one_epoch

NUM_EPOCHS = 8


def start():
    """A new model, its optimizer and its schedule."""
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.3)
    return model, optimizer, scheduler


def make_loader():
    """Two clouds of 200 points each, in shuffled batches."""
    X, y = two_gaussians(n=200)
    return DataLoader(TensorDataset(X, y.long()), batch_size=32, shuffle=True)


def main(folder, wait=False):
    checkpoint = Path(folder) / "last.pt"
    set_seed(0)
    torch.set_num_threads(1)
    loader = make_loader()
    run = dict(zip(("model", "optimizer", "scheduler"), start(), strict=True))
    first_epoch = 1
    if checkpoint.exists():
        saved = load_checkpoint(checkpoint)
        for name, part in run.items():
            part.load_state_dict(saved[name])
        set_rng_state(saved["rng"])
        first_epoch = saved["epoch"] + 1
        print("resumed", flush=True)

    for epoch in range(first_epoch, NUM_EPOCHS + 1):
        if wait:
            sys.stdin.readline()
        loss, _ = train_one_epoch(
            run["model"], loader, nn.functional.cross_entropy, run["optimizer"]
        )
        run["scheduler"].step()
        states = {name: part.state_dict() for name, part in run.items()}
        save_checkpoint(checkpoint, **states, rng=rng_state(), epoch=epoch)
        print(f"epoch {epoch}: loss {loss!r}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], wait="--wait" in sys.argv[2:])
