"""Where a classifier looks: Grad-CAM, its heat maps and the pointing game, written out in chapter 23."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import torch
from torch import nn
from torch.nn import functional as F

Classes = int | Sequence[int] | torch.Tensor | None


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """The layer that model.named_modules() calls by this name, such as "layer4.1".

    Raises:
        ValueError: there is none; the message has the names that are most like it.
    """
    layers = dict(model.named_modules())
    if name not in layers:
        nearest = get_close_matches(str(name), filter(None, layers), n=3, cutoff=0)
        raise ValueError(
            f"the model has no layer {str(name)!r:.60}: the nearest names are "
            f"{', '.join(nearest)}.")
    return layers[name]


def choose_scores(logits: torch.Tensor, classes: Classes) -> torch.Tensor:
    """The logit of one class of each image, for classes as grad_cam() takes them.

    Args:
        logits: shape (N, number of classes).

    Returns:
        Shape (N, 1).

    Raises:
        ValueError: these are no logits, a class is out of range, or there is not one an image.
    """
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise ValueError("the model's output is not (N, classes).")
    n, count = logits.shape
    if classes is None:
        classes = logits.argmax(dim=1)
    chosen = torch.as_tensor(classes, device=logits.device).long().reshape(-1, 1)
    if len(chosen) not in (1, n):
        raise ValueError(
            f"{len(chosen)} classes for {n} images: give one for all, or one an image.")
    for wrong in chosen[(chosen < 0) | (chosen >= count)]:
        raise ValueError(
            f"there is no class {wrong}: the model has the classes 0 to {count - 1}.")
    return logits.gather(1, chosen.expand(n, 1))


def to_unit_range(maps: torch.Tensor) -> torch.Tensor:
    """Moves and scales each map, shape (N, h, w), so that it reaches from 0 to 1; one without differences becomes 0."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    tiny = torch.finfo(maps.dtype).tiny
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=tiny)


def heat_maps(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Turns class activation maps into heat maps that can be laid over the pictures.

    Negative values become 0, each map is scaled to reach from 0 to 1, enlarged bilinearly, and scaled again. A map
    without any differences, such as one that is negative everywhere, becomes 0.

    Args:
        maps: shape (N, h, w).
        size: height and width of the pictures.

    Returns:
        Shape (N, height, width).
    """
    maps = to_unit_range(maps.relu()).unsqueeze(1)
    return to_unit_range(F.interpolate(maps, size, mode="bilinear").squeeze(1))


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode; afterwards each of its modules is again in the mode in which it was."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield model.eval()
    finally:
        for module, mode in modes.items():
            module.training = mode


def grad_cam(model: nn.Module, images: torch.Tensor, target_layer: str, classes: Classes = None) -> torch.Tensor:
    """Grad-CAM: where in each picture a layer's feature maps speak for a class.

    The map of a picture is the sum of the layer's feature maps, each weighted with the mean, over all places, of the
    derivative of the class's score (its logit) with respect to it. Only what follows the layer is recorded for
    autograd, and no gradient of a parameter is computed. The model runs in evaluation mode and is left as it was:
    its modes, its gradients and its hooks.

    Args:
        model: a classifier that maps images to logits of shape (N, classes).
        images: shape (N, C, H, W), on the model's device.
        target_layer: the name of a layer in model.named_modules(), such as "layer4.1", whose output has the shape
            (N, K, h, w). Usually it is the last one before the picture's plane is lost. If it runs more than once,
            its last run counts.
        classes: the class to explain, one for all images or one an image; None means the one with the highest score.

    Returns:
        Heat maps of shape (N, H, W) from 0 to 1, as heat_maps() makes them.

    Raises:
        ValueError: the images are not a batch; there is no such layer, it does not run, its output is no batch of
            feature maps, or the scores do not depend on it; the model gives no logits; a class is out of range, or
            there is not one an image.

    Source: R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra, Grad-CAM: visual explanations from
    deep networks via gradient-based localization, 2017.
    """
    if images.ndim != 4:
        raise ValueError(f"images of shape {tuple(images.shape)}: give (N, C, H, W).")
    maps = gradient = None

    def start_graph(module, inputs, output):
        nonlocal maps
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            raise ValueError(f"the output of {target_layer!r} is not (N, K, h, w).")
        maps = output.detach().requires_grad_()
        torch.set_grad_enabled(True)  # until no_grad ends
        return maps.clone()  # the next layer may work in place

    hook = find_layer(model, target_layer).register_forward_hook(start_graph)
    with hook, evaluation_mode(model), torch.inference_mode(False), torch.no_grad():
        logits = model(images)
        if maps is None:
            raise ValueError(f"the layer {target_layer!r} does not run in the model.")
        score = choose_scores(logits, classes).sum()
        if score.requires_grad:
            (gradient,) = torch.autograd.grad(score, maps, allow_unused=True)
        if gradient is None:
            raise ValueError(f"the scores do not depend on the layer {target_layer!r}.")
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # (N, K, 1, 1)
    return heat_maps((weights * maps.detach()).sum(dim=1), images.shape[2:])


def hits(heat: torch.Tensor, box: torch.Tensor) -> float:
    """The pointing game: the share of heat maps whose hottest pixel lies in its box.

    Args:
        heat: shape (N, H, W). A map without any heat points nowhere and counts as a miss.
        box: shape (N, 4), each (x0, y0, x1, y1) in pixels, from the upper left corner.

    Source: J. Zhang, Z. Lin, J. Brandt, X. Shen, S. Sclaroff, Top-down neural attention by excitation backprop, 2016.
    """
    place = heat.flatten(1).argmax(dim=1).cpu()
    x, y = place % heat.shape[2] + 0.5, place // heat.shape[2] + 0.5
    x0, y0, x1, y1 = box.T
    inside = (x0 < x) & (x < x1) & (y0 < y) & (y < y1)
    inside &= (heat.amax(dim=(1, 2)) > 0).cpu()  # no heat points nowhere
    return inside.float().mean().item()
