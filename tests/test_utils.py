"""utils/: the device helper, the seeds, the toy data and the pictures that chapters draw with them."""
import random

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import tv_tensors
from torchvision.models import alexnet
from torchvision.transforms import v2

from utils import datasets, get_device, plotting, set_seed, show_error, training
from utils.models import AlexNet, LeNet
from utils.transforms import AddPepperNoise

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plotting.plt.close("all")


def test_course_device_overrides_the_choice(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert get_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_gives_one_sentence(monkeypatch, name):
    monkeypatch.setenv("COURSE_DEVICE", name)
    with pytest.raises(ValueError, match=f"COURSE_DEVICE='{name}' is not a device of this machine.*cpu") as caught:
        get_device()
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("cuda, mps, expected", [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_device_is_cuda_then_mps_then_cpu(monkeypatch, cuda, mps, expected):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert get_device().type == expected


def test_set_seed_repeats_all_three_generators():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    set_seed(3)
    first = draw()
    assert draw() != first
    set_seed(3)
    assert draw() == first


def test_linear_data_lie_around_the_line():
    X, y = datasets.linear_data(n=5000, seed=1)
    assert X.shape == y.shape == (5000, 1)
    noise = y - (2 * X + 5)
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    assert X.min() >= 0 and X.max() < 10


def test_toy_data_depend_on_their_seed_alone():
    for make in (datasets.linear_data, datasets.two_gaussians):
        torch.manual_seed(0)
        first = make(seed=2)
        torch.manual_seed(1)
        again, other = make(seed=2), make(seed=3)
        assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])


def test_two_gaussians_have_their_centres():
    X, y = datasets.two_gaussians(n=4000, mean=1.7, bias=1.0)
    assert X.shape == (8000, 2) and y.shape == (8000,) and y.sum() == 4000
    torch.testing.assert_close(X[y == 0].mean(0), torch.tensor([2.7, 2.7]), atol=0.08, rtol=0)
    torch.testing.assert_close(X[y == 1].mean(0), torch.tensor([-0.7, -0.7]), atol=0.08, rtol=0)


def test_digits_are_scaled_to_one_and_belong_to_their_labels():
    images, labels = datasets.digits()
    assert images.shape == (1797, 1, 8, 8) and images.dtype == torch.float32 and labels.dtype == torch.int64
    assert images.min() == 0 and images.max() == 1
    assert labels.unique().tolist() == list(range(10))
    means = torch.stack([images[labels == digit].mean(dim=0) for digit in range(10)]).flatten(1)
    nearest = torch.cdist(images.flatten(1), means).argmin(dim=1)
    assert (nearest == labels).float().mean() > 0.85  # a digit looks like the mean of its class


def test_noisy_sine_has_the_noise_it_is_asked_for():
    X, y = datasets.noisy_sine(n=2000, noise=0.2)
    assert X.shape == y.shape == (2000, 1)
    assert X[0] == -1 and X[-1] == 1
    residuals = y - torch.sin(torch.pi * X)
    assert abs(residuals.mean()) < 0.02 and abs(residuals.std() - 0.2) < 0.02
    assert torch.equal(datasets.noisy_sine(seed=3)[1], datasets.noisy_sine(seed=3)[1])
    assert not torch.equal(datasets.noisy_sine(seed=3)[1], datasets.noisy_sine(seed=4)[1])


def test_photo_is_an_rgb_image():
    image = datasets.photo("flower")
    assert image.mode == "RGB" and image.size == (640, 427)


def test_as_image_takes_tensors_arrays_and_pil_images():
    tensor = torch.rand(3, 4, 5)
    assert plotting.as_image(tensor).shape == (4, 5, 3)
    np.testing.assert_array_equal(plotting.as_image(tensor)[1, 2], tensor[:, 1, 2].numpy())
    assert plotting.as_image(torch.rand(1, 4, 5)).shape == (4, 5)
    assert plotting.as_image(np.zeros((4, 5, 1))).shape == (4, 5)
    assert plotting.as_image(Image.new("L", (5, 4))).shape == (4, 5)
    assert plotting.as_image(torch.tensor([[-1.0, 2.0]])).tolist() == [[0.0, 1.0]]


def test_as_image_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"cannot draw an image of shape \(3, 3, 7\).*give"):
        plotting.as_image(torch.zeros(7, 3, 3))


def test_show_images_draws_rows_and_titles():
    figure = plotting.show_images([torch.rand(3, 8, 8)] * 5, [f"no {i}" for i in range(5)], columns=3)
    assert len(figure.axes) == 6  # two rows of three, the last place empty
    assert [ax.get_title() for ax in figure.axes] == ["no 0", "no 1", "no 2", "no 3", "no 4", ""]
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 1, 1, 0]


def test_show_images_does_not_stretch_gray_levels():
    figure = plotting.show_images([torch.full((4, 4), 0.5), np.full((4, 4), 100, dtype=np.uint8)])
    assert [ax.images[0].get_clim() for ax in figure.axes] == [(0, 1), (0, 255)]


@pytest.mark.parametrize("to_scale, width", [(True, 40), (False, 10)])
def test_show_images_draws_to_one_scale_if_asked(to_scale, width):
    figure = plotting.show_images([torch.rand(20, 40), torch.rand(10, 10)], to_scale=to_scale)
    low, high = figure.axes[1].get_xlim()
    assert high - low == width


def test_show_images_says_what_is_missing():
    with pytest.raises(ValueError, match="no image"):
        plotting.show_images([])
    with pytest.raises(ValueError, match="2 images and 1 titles"):
        plotting.show_images([torch.rand(4, 4)] * 2, ["one"])


def test_plot_curves_labels_axes_and_curves():
    ax = plotting.plot_curves({"train": [3, 2, 1], "valid": [3, 2.5, 2]}, "epoch", "loss")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "valid"]
    assert ax.lines[1].get_ydata().tolist() == [3, 2.5, 2]


def test_decision_boundary_is_where_the_probability_is_one_half():
    X = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
    ax = plotting.plot_decision_boundary(lambda x: torch.sigmoid(9 * (x[:, :1] - 1)), X, torch.tensor([0, 1]))
    line = ax.collections[1].get_paths()[0].vertices
    np.testing.assert_allclose(line[:, 0], 1, atol=0.02)
    assert [c.get_label() for c in ax.collections[2:]] == ["class 0", "class 1"]


def test_figures_are_white_and_colours_differ():
    plotting.use_style()
    assert matplotlib.rcParams["figure.facecolor"] == "white"
    assert len(set(plotting.COLORS)) == len(plotting.COLORS) == 7


def test_lenet_has_the_shapes_of_the_paper():
    model = LeNet(num_classes=7)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    by_hand = (3 * 25 + 1) * 6 + (6 * 25 + 1) * 16 + 401 * 120 + 121 * 84 + 85 * 7
    assert sum(p.numel() for p in model.parameters()) == by_hand


def test_alexnet_is_that_of_torchvision():
    with torch.device("meta"):  # shapes without numbers: 61 million weights take a second to fill
        ours, theirs = AlexNet(num_classes=10, dropout=0.2), alexnet(weights=None, num_classes=10, dropout=0.2)
        assert ours(torch.empty(2, 3, 224, 224)).shape == (2, 10)
    assert repr(ours) == repr(theirs)
    shapes = [{name: value.shape for name, value in model.state_dict().items()} for model in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.fixture
def points():
    X, y = datasets.two_gaussians()
    return TensorDataset(X, y.long())


def test_evaluate_gives_the_means_over_all_samples_and_changes_nothing(points):
    set_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    before = [p.clone() for p in model.parameters()]
    loss, accuracy = training.evaluate(model, DataLoader(points, batch_size=64), nn.CrossEntropyLoss())
    X, y = points.tensors
    logits = model[0](X)  # 200 samples do not fill batches of 64: a mean of batch means would differ
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == y).sum().item() / len(y)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_fit_learns_and_reports_each_epoch(points):
    set_seed(0)
    model = nn.Linear(2, 2)
    loader = DataLoader(points, batch_size=20, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = training.fit(model, loader, loader, nn.CrossEntropyLoss(), optimizer, num_epochs=3)
    assert list(history) == ["train_loss", "train_accuracy", "valid_loss", "valid_accuracy"]
    assert all(len(values) == 3 for values in history.values())
    assert history["valid_loss"][-1] < history["valid_loss"][0] and history["valid_accuracy"][-1] > 0.95
    loss, accuracy = training.evaluate(model, loader, nn.CrossEntropyLoss())
    assert (loss, accuracy) == (pytest.approx(history["valid_loss"][-1]), history["valid_accuracy"][-1])


def test_training_puts_the_model_into_training_mode(points):
    model = nn.Sequential(nn.Linear(2, 2)).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    training.train_one_epoch(model, DataLoader(points, batch_size=50), nn.CrossEntropyLoss(), optimizer)
    assert model.training


# ------------------------------------------------------------------------------------------- AddPepperNoise
def shares(tensor, white):
    """The shares of pixels that were kept, turned black and turned white; each pixel in all channels at once."""
    pixels = tensor.double().flatten(-2)
    of_each = [(pixels == value).all(0).double().mean().item() for value in (white // 2, 0, white)]
    assert sum(of_each) == pytest.approx(1)
    return of_each


@pytest.mark.parametrize("snr", [0, 0.3, 0.9, 1])
@pytest.mark.parametrize("kind", ["uint8", "int64", "float32", "float64", "tv_tensor", "RGB", "L"])
def test_pepper_noise_keeps_the_ratio(snr, kind):
    torch.manual_seed(0)
    card = torch.full((1 if kind == "L" else 3, 200, 200), 127, dtype=torch.uint8)
    if kind in ("RGB", "L"):
        noisy = AddPepperNoise(snr, p=1)(v2.functional.to_pil_image(card))
        assert isinstance(noisy, Image.Image) and noisy.mode == kind and noisy.size == (200, 200)
        noisy = v2.functional.pil_to_tensor(noisy)
    elif kind == "tv_tensor":
        noisy = AddPepperNoise(snr, p=1)(tv_tensors.Image(card))
        assert type(noisy) is tv_tensors.Image
    else:
        dtype = getattr(torch, kind)
        given = card.to(dtype) / (254 if dtype.is_floating_point else 1)
        noisy = AddPepperNoise(snr, p=1)(given.to(dtype))
        assert type(noisy) is torch.Tensor and noisy.dtype == dtype
        if dtype.is_floating_point:  # 0.5 on a scale of 0 to 1
            noisy = (noisy * 255).floor()
    expected = [snr, (1 - snr) / 2, (1 - snr) / 2]
    assert shares(noisy, 255) == pytest.approx(expected, abs=0.02)
    if snr in (0, 1):
        assert shares(noisy, 255)[0] == snr


@pytest.mark.parametrize("p", [0, 0.25, 0.9, 1])
def test_pepper_noise_comes_with_probability_p(p):
    torch.manual_seed(0)
    noise, card = AddPepperNoise(snr=0, p=p), torch.full((3, 2, 2), 127, dtype=torch.uint8)
    share = sum(not torch.equal(noise(card), card) for _ in range(1000)) / 1000
    assert share == (p if p in (0, 1) else pytest.approx(p, abs=0.06))


def test_pepper_noise_is_the_same_on_all_kinds_of_pictures():
    image = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    results = []
    for picture in (image, tv_tensors.Image(image), v2.functional.to_pil_image(image), image / 255):
        torch.manual_seed(1)
        results.append(v2.functional.to_dtype(v2.functional.to_image(AddPepperNoise(0.6, p=1)(picture)), scale=True))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_pepper_noise_takes_batches_and_leaves_its_input_alone():
    batch = torch.full((4, 3, 20, 30), 0.5)
    noisy = AddPepperNoise(0.5, p=1)(batch)
    assert noisy.shape == batch.shape and (noisy == noisy[:1]).all() and (batch == 0.5).all()
    picture = Image.new("RGB", (30, 20), (9, 9, 9))
    assert AddPepperNoise(0.5, p=1)(picture) != picture
    assert (np.asarray(picture) == 9).all()


def test_pepper_noise_spares_boxes_masks_and_labels():
    canvas = {"format": "XYXY", "canvas_size": (20, 30)}
    sample = {
        "image": tv_tensors.Image(torch.full((3, 20, 30), 127, dtype=torch.uint8)),
        "boxes": tv_tensors.BoundingBoxes([[1, 2, 30, 20]], **canvas),
        "mask": tv_tensors.Mask(torch.ones(20, 30, dtype=torch.uint8)), "label": 1, "weight": torch.tensor(2.0),
    }
    out = AddPepperNoise(snr=0, p=1)(sample)
    assert not (out["image"] == 127).any()
    for name in ("boxes", "mask", "weight"):
        assert torch.equal(out[name], sample[name]) and type(out[name]) is type(sample[name])
    assert out["label"] == 1


@pytest.mark.parametrize("snr, p", [(-0.1, 0.5), (1.1, 0.5), (90, 0.5), (0.9, -0.1), (0.9, 2), (float("nan"), 0.5)])
def test_pepper_noise_refuses_what_is_no_share(snr, p):
    with pytest.raises(ValueError, match=rf"snr={snr} and p={p} must lie in \[0, 1\]"):
        AddPepperNoise(snr, p)


def test_show_error_prints_kind_and_first_sentence(capsys):
    def fail():
        raise ValueError("/tmp/x/a.jpg is bad. Triggered internally")

    show_error(fail, hide="/tmp/x/")
    assert capsys.readouterr().out == "ValueError: a.jpg is bad\n"


def test_show_error_fails_where_nothing_fails():
    with pytest.raises(AssertionError, match="no error was raised"):
        show_error(lambda: None)
