"""utils/cam.py: Grad-CAM against its formula, CAM, and what it must leave alone."""
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from utils.cam import grad_cam, heat_maps, hits


class Small(nn.Module):
    """Maps (N, 3, H, W) to three logits by way of convolution, in-place ReLU, GAP and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 3)
        self.unused = nn.Conv2d(3, 4, 3)
        self.aside = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.aside(x)
        x = self.act(self.norm(self.conv(x)))
        return self.fc(self.pool(x).flatten(1))


@pytest.fixture
def model() -> Small:
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(5, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def by_hand(model: nn.Module, layer: nn.Module, images: torch.Tensor, c: int | torch.Tensor) -> torch.Tensor:
    """The plain way: a hook that keeps a copy, backward() through the whole model, and the formula."""
    kept = []

    def keep(module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        output.retain_grad()
        kept.extend([output, output.detach().clone()])
        return output.clone()

    with layer.register_forward_hook(keep):
        logits = model.eval()(images)
    logits[torch.arange(len(images)), c].sum().backward()
    weights = kept[0].grad.mean(dim=(2, 3))
    maps = torch.einsum("nk,nkhw->nhw", weights, kept[1]).clamp(min=0)
    large = F.interpolate(maps[:, None], size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    low, high = large.flatten(1).min(dim=1).values, large.flatten(1).max(dim=1).values
    return (large - low[:, None, None]) / (high - low)[:, None, None]


def test_heat_maps():
    maps = torch.tensor([[[-5.0, 1.0], [3.0, 1.0]], [[2.0, 2.0], [2.0, 2.0]], [[-1.0, -2.0], [-3.0, -4.0]]])
    heat = heat_maps(maps, (2, 2))
    torch.testing.assert_close(heat[0], torch.tensor([[0, 1 / 3], [1, 1 / 3]]))
    assert not heat[1:].any()  # no differences, no heat, and no nan
    torch.testing.assert_close(heat_maps(1e-20 * maps, (7, 5)), heat_maps(maps, (7, 5)))
    assert heat_maps(maps, (7, 5)).shape == (3, 7, 5)


@pytest.mark.parametrize("layer", ["conv", "norm", "act"])
def test_equals_the_formula(model: Small, images: torch.Tensor, layer: str):
    classes = torch.tensor([0, 1, 2, 0, 1])
    heat = grad_cam(model, images, layer, classes)
    torch.testing.assert_close(heat, by_hand(model, model.get_submodule(layer), images, classes))
    assert heat.shape == (5, 12, 10) and not heat.requires_grad


@pytest.mark.parametrize(("name", "layer"), [
    ("resnet18", "layer4.1"), ("resnet18", "layer3.0.bn1"), ("alexnet", "features.12"), ("alexnet", "features.10"),
    ("mobilenet_v3_small", "features.12"),
])
def test_torchvision_classifiers(name: str, layer: str):
    torch.manual_seed(0)
    network = models.get_model(name, weights=None)
    images = torch.randn(2, 3, 100, 120)
    best = network.eval()(images).argmax(dim=1)
    expected = by_hand(network, network.get_submodule(layer), images, best)
    assert expected.std() > 0.01  # there is something to compare
    torch.testing.assert_close(grad_cam(network, images, layer), expected, atol=1e-4, rtol=0)


def test_equals_cam_where_cam_exists(model: Small, images: torch.Tensor):
    maps = model.eval().act(model.norm(model.conv(images))).detach()
    for c in range(3):
        cam = torch.einsum("k,nkhw->nhw", model.fc.weight[c].detach(), maps)
        torch.testing.assert_close(grad_cam(model, images, "act", c), heat_maps(cam, images.shape[2:]))


def test_classes(model: Small, images: torch.Tensor):
    best = model.eval()(images).argmax(dim=1)
    torch.testing.assert_close(grad_cam(model, images, "act"), grad_cam(model, images, "act", best))
    torch.testing.assert_close(grad_cam(model, images, "act", 2), grad_cam(model, images, "act", [2] * 5))
    assert not torch.equal(grad_cam(model, images, "act", 2), grad_cam(model, images, "act", 1))


def test_a_batch_is_its_images_one_by_one(model: Small, images: torch.Tensor):
    single = [grad_cam(model, image[None], "conv") for image in images]
    torch.testing.assert_close(grad_cam(model, images, "conv"), torch.cat(single))


def test_a_layer_that_runs_twice(images: torch.Tensor):
    conv = nn.Conv2d(3, 3, 3, padding=1)
    twice = nn.Sequential(conv, conv, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    cam = conv(conv(images))[:, 1].detach() / 120
    torch.testing.assert_close(grad_cam(twice, images, "0", 1), heat_maps(cam, (12, 10)))


def test_leaves_the_model_alone(model: Small, images: torch.Tensor):
    model.train()
    model.norm.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = images.clone()
    grad_cam(model, images, "conv")
    assert torch.is_grad_enabled()
    assert model.training and model.fc.training and not model.norm.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(images, given)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_where_no_gradient_is_recorded(model: Small, images: torch.Tensor, mode: type):
    expected = grad_cam(model, images, "conv")
    model.requires_grad_(False)
    with mode():
        torch.testing.assert_close(grad_cam(model, images.clone(), "conv"), expected)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize(("layer", "classes", "message"), [
    ("convolution", None, "no layer 'convolution': the nearest names are conv,"),
    (nn.ReLU(), None, r"no layer 'ReLU\(\)'"),
    ("unused", None, "'unused' does not run"),
    ("aside", None, "do not depend on the layer 'aside'"),
    ("fc", None, "output of 'fc' is not"),
    ("conv", 3, "no class 3: the model has the classes 0 to 2"),
    ("conv", [0, 1, -1, 0, 0], "no class -1"),
    ("conv", [0, 1], "2 classes for 5 images"),
])
def test_bad_input(model: Small, images: torch.Tensor, layer: str, classes: int | None, message: str):
    for frozen in (False, True):
        model.requires_grad_(not frozen)
        with pytest.raises(ValueError, match=message):
            grad_cam(model, images, layer, classes)
        assert model.training and torch.is_grad_enabled()
        assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("output", [lambda logits: {"out": logits}, lambda logits: logits[:, 0]])
def test_a_model_without_logits(model: Small, images: torch.Tensor, output: Callable):
    model.register_forward_hook(lambda module, inputs, logits: output(logits))
    with pytest.raises(ValueError, match=r"the model's output is not \(N, classes\)"):
        grad_cam(model, images, "conv")
    assert model.training and torch.is_grad_enabled() and not model.conv._forward_hooks


def test_one_image_is_no_batch(model: Small, images: torch.Tensor):
    with pytest.raises(ValueError, match=r"images of shape \(3, 12, 10\)"):
        grad_cam(model, images[0], "conv")


def test_hits_counts_the_hottest_pixels_in_their_boxes():
    heat = torch.zeros(4, 3, 5)
    heat[0, 1, 4] = heat[1, 1, 4] = heat[2, 2, 0] = 1  # the last map has no heat
    box = torch.tensor([[4, 1, 5, 2], [0, 0, 4, 3], [0, 2, 1, 3], [0, 0, 5, 3]])
    assert hits(heat, box) == 0.5  # the first and the third
