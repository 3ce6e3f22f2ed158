"""utils/pretrained.py: torchvision's weights when they are asked for, those that ship otherwise."""
import re
import urllib.error
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from tools import train_first_layer
from utils import pretrained
from utils.models import AlexNet

SMALL = "squeezenet1_1"  # 5 MB, where AlexNet has 240


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that PyTorch would keep SMALL's weights in; there is nothing yet, and no network."""
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "a folder 文件夹"))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    weights = models.get_model_weights(SMALL).DEFAULT
    return Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)


@pytest.mark.parametrize("value, wanted", [(None, False), ("", False), ("0", False), ("1", True)])
def test_the_setting_is_read(monkeypatch, value, wanted):
    monkeypatch.delenv("COURSE_PRETRAINED", raising=False)
    if value is not None:
        monkeypatch.setenv("COURSE_PRETRAINED", value)
    assert pretrained.is_wanted() is wanted


def test_another_setting_gives_one_sentence(monkeypatch):
    monkeypatch.setenv("COURSE_PRETRAINED", "yes")
    with pytest.raises(ValueError, match=r"^COURSE_PRETRAINED='yes' is neither 0 nor 1: set it to 1 .*unset it\.$"):
        pretrained.is_wanted()


def test_weights_are_downloaded_once(cached, monkeypatch):
    wanted = models.get_model(SMALL).state_dict()
    downloads = []

    def download(url, dst, *args, **kwargs):
        downloads.append(url)
        torch.save(wanted, dst)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        loaded = pretrained.load(SMALL).state_dict()
        assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)
    assert downloads == [models.get_model_weights(SMALL).DEFAULT.url]


def test_no_network_gives_one_sentence(cached):
    with pytest.raises(ConnectionError) as caught:
        pretrained.load(SMALL)
    message = str(caught.value)
    assert re.fullmatch(rf"The pretrained weights of {SMALL} could not be downloaded to {re.escape(str(cached))} "
                        r"\(.*no network in tests.*\): connect .*, or unset COURSE_PRETRAINED\.", message)
    assert not list(cached.parent.iterdir())


def test_a_folder_that_cannot_be_written_gives_one_sentence(cached, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))  # no folder can be made below a file
    with pytest.raises(ConnectionError, match=r"^The pretrained weights of .*: connect .*\(TORCH_HOME .*PRETRAINED\.$"):
        pretrained.load(SMALL)


def half_of_a_file(path: Path) -> None:
    torch.save(models.get_model(SMALL).state_dict(), path)
    path.write_bytes(path.read_bytes()[:2_000_000])


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"<html>Not found</html>"),
    half_of_a_file,
    lambda path: torch.save(nn.Linear(2, 2).state_dict(), path),
    lambda path: torch.save({"model": print}, path),
], ids=["empty", "html", "half", "another model", "code"])
def test_a_damaged_file_gives_one_sentence(cached, spoil):
    cached.parent.mkdir(parents=True)
    spoil(cached)
    before = cached.read_bytes()
    with pytest.raises(RuntimeError) as caught:
        pretrained.load(SMALL)
    message = str(caught.value)
    assert message.startswith(f"The pretrained weights in {cached} are damaged (")
    assert message.endswith("): delete that file to have it downloaded anew, or unset COURSE_PRETRAINED.")
    assert "\n" not in message and len(message) < len(str(cached)) + 250
    assert cached.read_bytes() == before


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match="resnet19"):
        pretrained.load("resnet19")


def test_the_first_layer_that_ships_has_learned(monkeypatch):
    monkeypatch.delenv("COURSE_PRETRAINED", raising=False)
    assert pretrained.FIRST_LAYER.stat().st_size < 1_000_000

    def most_in_one_frequency(kernels):
        energy = torch.fft.fft2(kernels.detach()).abs().square().sum(1).flatten(1)[:, 1:]
        return (2 * energy.max(1).values / energy.sum(1)).median()  # twice: f and -f are one frequency

    alexnet = AlexNet(num_classes=2)
    untrained, alexnet.features[0] = alexnet.features[0], pretrained.first_layer()
    assert most_in_one_frequency(alexnet.features[0].weight) > 0.3 > 0.1 > most_in_one_frequency(untrained.weight)
    assert alexnet.features[0](torch.zeros(1, 3, 224, 224)).shape == (1, 64, 55, 55)
    assert alexnet.features[0].weight.requires_grad


def test_the_first_layer_is_imagenets_when_asked_for(monkeypatch):
    alexnet = AlexNet()
    monkeypatch.setenv("COURSE_PRETRAINED", "1")
    monkeypatch.setattr(pretrained, "load", {"alexnet": alexnet}.__getitem__)
    assert pretrained.first_layer() is alexnet.features[0]


@pytest.mark.parametrize("content", [None, b"", b"half"])
def test_a_damaged_first_layer_gives_one_sentence(monkeypatch, tmp_path, content):
    file = tmp_path / "first_layer.pt"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.delenv("COURSE_PRETRAINED", raising=False)
    monkeypatch.setattr(pretrained, "FIRST_LAYER", file)
    with pytest.raises(RuntimeError, match=rf"^{re.escape(str(file))} is missing or damaged: .*`make kernels`\.$"):
        pretrained.first_layer()


# ------------------------------------------------------------------------------------------------ make kernels
def test_the_first_layer_can_be_trained_anew():
    torch.manual_seed(0)
    pictures = [[train_first_layer.sizes(torch.rand(3, 120, 200))] for _ in range(2)]
    assert [tuple(size.shape[1:]) for size in pictures[0][0]] == [(120, 200), (96, 160), (76, 128)]
    network = train_first_layer.make_network()
    before = network[0].weight.detach().clone()
    assert 0 <= train_first_layer.train(network, pictures, steps=3) <= 1
    assert not torch.equal(network[0].weight, before)

    X, y = train_first_layer.turned_squares(pictures, 8)
    assert X.shape == (8, 3, 67, 67) and set(y.tolist()) <= {0, 1, 2, 3}
    folded = train_first_layer.fuse_conv_bn_eval(*network.eval()[:2])
    torch.testing.assert_close(folded(X), network[:2](X), rtol=1e-4, atol=1e-4)
    assert folded.state_dict().keys() == pretrained.first_layer().state_dict().keys()


def test_a_square_is_turned_as_its_label_says():
    bright_above = torch.ones(3, 70, 70) * torch.linspace(1, 0, 70).view(1, 70, 1)
    X, y = train_first_layer.turned_squares([[[bright_above]]], 32)
    for square, turns in zip(X, y.tolist(), strict=True):
        upright = square.rot90(-turns, (1, 2)).mean((0, 2))
        assert upright[:20].mean() > upright[-20:].mean() + 1
