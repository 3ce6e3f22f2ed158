"""Where a chapter runs and from which random numbers: the device and the seeds."""
import os
import random

import numpy as np
import torch


def get_device() -> torch.device:
    """The device that the chapters compute on: cuda, else mps, else cpu.

    The environment variable COURSE_DEVICE (for example ``cpu`` or ``cuda:1``) overrides the choice.

    Raises:
        ValueError: COURSE_DEVICE names a device that PyTorch does not know or this machine does not have.
    """
    wanted = os.environ.get("COURSE_DEVICE")
    if wanted:
        try:
            torch.empty(1, device=wanted)  # a bad name and a missing device both fail here
        except (RuntimeError, AssertionError, NotImplementedError):
            raise ValueError(
                f"COURSE_DEVICE={wanted!r} is not a device of this machine: unset it, or set it to cpu."
            ) from None
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def set_seed(seed: int) -> None:
    """Seeds the random numbers of Python, NumPy and PyTorch (on every device) with one number.

    Source: PyTorch's note "Reproducibility" names these three generators.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
