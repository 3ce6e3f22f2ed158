"""Weights that have been trained already: those that ship with the course, or torchvision's where they are wanted.

By default the course needs no network. COURSE_PRETRAINED=1 lets the chapters that look into trained networks download
torchvision's ImageNet weights; PyTorch keeps them in the folder that TORCH_HOME names, usually ~/.cache/torch.
"""
import os
import textwrap
from pathlib import Path

import torch
from torch import nn
from torchvision import models

FIRST_LAYER = Path(__file__).resolve().parent.parent / "data" / "first_layer.pt"


def is_wanted() -> bool:
    """Whether COURSE_PRETRAINED asks for torchvision's weights: 1 does; 0, nothing, and no such variable do not.

    Raises:
        ValueError: it is set to something else.
    """
    wanted = os.environ.get("COURSE_PRETRAINED", "")
    if wanted not in ("", "0", "1"):
        raise ValueError(f"COURSE_PRETRAINED={wanted!r} is neither 0 nor 1: set it to 1 for torchvision's pretrained "
                         "weights, or unset it.")
    return wanted == "1"


def load(name: str) -> nn.Module:
    """A network of torchvision with its newest ImageNet weights, downloaded if they are not there yet.

    Args:
        name: as torchvision.models.list_models() has it: "alexnet", "resnet18".

    Raises:
        ValueError: torchvision has no such model.
        ConnectionError: the weights cannot be downloaded, or not be put into their folder.
        RuntimeError: the downloaded file is damaged.
    """
    weights = models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        return models.get_model(name, weights=weights, progress=False)
    except Exception as error:  # damaged bytes can raise anything, from EOFError to UnpicklingError
        why = textwrap.shorten(str(error), 100, placeholder=" ...") or type(error).__name__
    if file.exists():
        raise RuntimeError(f"The pretrained weights in {file} are damaged ({why}): delete that file to have it "
                           "downloaded anew, or unset COURSE_PRETRAINED.")
    raise ConnectionError(f"The pretrained weights of {name} could not be downloaded to {file} ({why}): connect to the "
                          "internet, see that the folder can be written (TORCH_HOME names another), and try again, or "
                          "unset COURSE_PRETRAINED.")


def first_layer() -> nn.Conv2d:
    """A first layer for AlexNet that has learned: data/first_layer.pt, or ImageNet's with COURSE_PRETRAINED=1.

    It has 64 kernels of 3 x 11 x 11, stride 4 and padding 2, and takes images that are normalised with ImageNet's mean
    and standard deviation. How the layer that ships was trained stands in tools/train_first_layer.py.

    Raises:
        RuntimeError: the file that ships is missing or damaged.
        As load(), with COURSE_PRETRAINED=1.
    """
    if is_wanted():
        return load("alexnet").features[0]
    layer = nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2)
    try:
        layer.load_state_dict(torch.load(FIRST_LAYER, weights_only=True, map_location="cpu"))
    except Exception:
        raise RuntimeError(f"{FIRST_LAYER} is missing or damaged: take it from the course's repository again, or train "
                           "it anew with `make kernels`.") from None
    return layer
