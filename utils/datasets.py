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


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """The 1,797 handwritten digits that scikit-learn ships.

    Returns:
        Images of shape (1797, 1, 8, 8), float32 in [0, 1], ink bright on dark, and the labels of shape (1797,),
        int64, 0 to 9.

    Source: E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI repository, 1998 (its test part).
    """
    from sklearn.datasets import load_digits  # here, because it takes a second that few chapters need

    data = load_digits()
    images = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    return images, torch.from_numpy(data.target)


def noisy_sine(n: int = 20, noise: float = 0.3, seed: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around the curve y = sin(pi x): the regression that chapters 24 and 25 overfit and then tame.

    Args:
        n: points, evenly spaced from -1 to 1.
        noise: standard deviation of the normal noise on y.

    Returns:
        X and y, both of shape (n, 1).
    """
    generator = torch.Generator().manual_seed(seed)
    X = torch.linspace(-1, 1, n).unsqueeze(1)
    y = torch.sin(torch.pi * X) + noise * torch.randn(n, 1, generator=generator)
    return X, y
