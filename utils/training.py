"""The training loop, written out in chapter 6 and used from there on."""
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def train_one_epoch(
    model: nn.Module, loader: DataLoader, loss_fn: LossFunction, optimizer: Optimizer
) -> tuple[float, float]:
    """Trains a classifier on each batch of the loader once.

    Args:
        model: maps a batch X to logits of shape (N, classes); it is put into training mode.
        loader: gives pairs (X, y) with integer labels y of shape (N,).
        loss_fn: mean loss of a batch from (logits, y).

    Returns:
        Mean loss and accuracy over the samples, as they were while the weights changed.
    """
    model.train()
    return _run(model, loader, loss_fn, optimizer)


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader, loss_fn: LossFunction) -> tuple[float, float]:
    """Mean loss and accuracy of a classifier over the loader's samples; see `train_one_epoch`.

    The model is put into evaluation mode, and no gradient is recorded.
    """
    model.eval()
    return _run(model, loader, loss_fn)


def _run(
    model: nn.Module, loader: DataLoader, loss_fn: LossFunction, optimizer: Optimizer | None = None
) -> tuple[float, float]:
    device = next(model.parameters()).device
    total_loss = torch.zeros((), device=device)  # sums stay on the device: reading them waits for it
    correct = torch.zeros((), device=device)
    samples = 0
    for X, y in loader:
        X, y = X.to(device), y.to(device)
        logits = model(X)
        loss = loss_fn(logits, y)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total_loss += loss.detach() * len(y)
        correct += (logits.argmax(dim=1) == y).sum()
        samples += len(y)
    return total_loss.item() / samples, correct.item() / samples


def fit(
    model: nn.Module,
    train_loader: DataLoader,
    valid_loader: DataLoader,
    loss_fn: LossFunction,
    optimizer: Optimizer,
    num_epochs: int,
) -> dict[str, list[float]]:
    """Trains for num_epochs, with a look at the validation part after each.

    Returns:
        One list each for "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", with a value an epoch.
    """
    history: dict[str, list[float]] = {
        "train_loss": [], "train_accuracy": [], "valid_loss": [], "valid_accuracy": [],
    }
    for _ in range(num_epochs):
        results = *train_one_epoch(model, train_loader, loss_fn, optimizer), *evaluate(model, valid_loader, loss_fn)
        for values, result in zip(history.values(), results, strict=True):
            values.append(result)
    return history
