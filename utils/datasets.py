"""The small data sets of the course, made here: no download, the same numbers on every machine."""
import torch
from PIL import Image


def linear_data(n: int = 20, seed: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around the line y = 2x + 5, with standard normal noise (chapter 3 makes them step by step).

    Returns:
        X, uniform in [0, 10), and y, both of shape (n, 1).
    """
    generator = torch.Generator().manual_seed(seed)
    X = torch.rand(n, 1, generator=generator) * 10
    y = 2 * X + (5 + torch.randn(n, 1, generator=generator))
    return X, y


def two_gaussians(
    n: int = 100, mean: float = 1.7, bias: float = 1.0, seed: int = 10
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two round clouds of points in the plane (chapter 5 makes them step by step).

    Class 0 is centred at (mean + bias, mean + bias), class 1 at (-mean + bias, -mean + bias); the standard
    deviation is 1 in each direction.

    Args:
        n: points in each class.

    Returns:
        X of shape (2n, 2), class 0 first, and the labels y of shape (2n,), 0.0 and 1.0.
    """
    generator = torch.Generator().manual_seed(seed)
    ones = torch.ones(n, 2)
    X0 = torch.normal(mean * ones, 1, generator=generator) + bias
    X1 = torch.normal(-mean * ones, 1, generator=generator) + bias
    return torch.cat([X0, X1]), torch.cat([torch.zeros(n), torch.ones(n)])


def photo(name: str = "china") -> Image.Image:
    """One of the two photographs that scikit-learn ships: "china" (a palace) or "flower".

    Returns:
        An RGB image, 640 pixels wide and 427 high.

    Source: sklearn.datasets.load_sample_image, whose README names the photographers.
    """
    from sklearn.datasets import load_sample_image  # here, because it takes a second that few chapters need

    return Image.fromarray(load_sample_image(f"{name}.jpg"))
