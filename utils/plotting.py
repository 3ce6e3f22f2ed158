"""One look for every figure of the course: white, labelled, readable by colour-blind eyes.

Chapters call `use_style()` once, in their first cell, and then draw with matplotlib as usual;
the functions below are for the pictures that come back in many chapters.
"""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every kind of colour blindness (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000",
)
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, BLACK)


def use_style() -> None:
    """Sets matplotlib's defaults for this chapter: white figures, the course's colours, light grid."""
    plt.rcParams.update({
        "figure.facecolor": "white",
        "figure.figsize": (6, 3.4),
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "axes.prop_cycle": cycler(color=COLORS),
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#dddddd",
        "image.cmap": "gray",
        "legend.frameon": False,
    })


def as_image(image: Any) -> np.ndarray:
    """Turns what a chapter has into what matplotlib draws.

    Args:
        image: a PIL image, a tensor of shape (C, H, W) or (H, W), or an array of shape (H, W, C) or (H, W).

    Returns:
        An array of shape (H, W, C) or (H, W); floats are clipped to [0, 1], integers are left alone.

    Raises:
        ValueError: the shape is none of these.
    """
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = (image.permute(1, 2, 0) if image.ndim == 3 else image).numpy()
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(f"cannot draw an image of shape {array.shape}: give (C, H, W) or (H, W) tensors, "
                         "or (H, W, C) or (H, W) arrays")
    return array.clip(0, 1) if array.dtype.kind == "f" else array


def show_images(
    images: Sequence[Any],
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    size: float = 1.6,
    to_scale: bool = False,
) -> Figure:
    """Draws images in a row, or in a grid of `columns`, each under its title.

    Args:
        images: what `as_image` takes. Gray images are drawn from black (0) to white (1, or 255 for integers).
        titles: one a picture, or None.
        columns: pictures in a row; None puts all in one row.
        size: side of one picture in inches.
        to_scale: draws all pixels equally large, the biggest picture filling its place; otherwise each fills it.

    Raises:
        ValueError: there is no image, or not one title an image.
    """
    if not len(images):
        raise ValueError("there is no image to draw: give at least one")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(images)} images and {len(titles)} titles: give one title an image")
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    height = size + (0.3 if titles else 0)
    figure, axes = plt.subplots(rows, columns, figsize=(size * columns, height * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    arrays = [as_image(image) for image in images]
    full_height, full_width = (max(array.shape[axis] for array in arrays) for axis in (0, 1))
    for i, array in enumerate(arrays):
        white = 255 if array.dtype == np.uint8 else 1
        axes.flat[i].imshow(array, vmin=0, vmax=white, interpolation="nearest")
        if to_scale:
            height, width = array.shape[:2]
            axes.flat[i].set(xlim=((width - full_width) / 2, (width + full_width) / 2),
                             ylim=((height + full_height) / 2, (height - full_height) / 2))
        if titles is not None:
            axes.flat[i].set_title(titles[i], fontsize=9)
    return figure


def plot_curves(
    curves: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, ax: Axes | None = None, x: Any = None
) -> Axes:
    """Draws named curves over one x axis, which counts 0, 1, 2, ... where `x` is None.

    Args:
        curves: name in the legend -> values.
        xlabel, ylabel: what the axes show, with the unit where there is one.
        ax: where to draw; None draws in the current axes.
        x: the values of the x axis, common to all curves.
    """
    ax = ax or plt.gca()
    for name, values in curves.items():
        ax.plot(range(len(values)) if x is None else x, values, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(curves) > 1:
        ax.legend()
    return ax


def plot_decision_boundary(
    predict: Callable[[torch.Tensor], torch.Tensor], X: torch.Tensor, y: torch.Tensor, ax: Axes | None = None
) -> Axes:
    """Draws the points of two classes, the predicted probability behind them, and the line where it is 0.5.

    Args:
        predict: maps points of shape (N, 2) to probabilities of class 1, of shape (N,) or (N, 1).
        X: points, shape (N, 2).
        y: labels 0 and 1, shape (N,).
        ax: where to draw; None draws in the current axes.
    """
    ax = ax or plt.gca()
    points, labels = X.detach().cpu(), y.detach().cpu()
    low, high = points.min(0).values - 0.5, points.max(0).values + 0.5
    grid_x, grid_y = torch.meshgrid(
        torch.linspace(float(low[0]), float(high[0]), 100),
        torch.linspace(float(low[1]), float(high[1]), 100), indexing="xy",
    )
    with torch.no_grad():
        p = predict(torch.stack([grid_x.flatten(), grid_y.flatten()], dim=1).to(X.device))
    p = p.reshape(grid_x.shape).cpu()
    ax.contourf(grid_x, grid_y, p, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.35)
    ax.contour(grid_x, grid_y, p, levels=[0.5], colors=BLACK, linewidths=1.5)
    for label, color, marker in ((0, BLUE, "o"), (1, ORANGE, "^")):
        of_class = points[labels == label]
        ax.scatter(of_class[:, 0], of_class[:, 1], s=14, c=color, marker=marker, label=f"class {label}")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")
    return ax
