"""Tests of utils/checkpoint.py, and of the training script of chapter 28 that relies on it."""
import pickle
import random

import numpy as np
import pytest
import torch

from utils import set_seed
from utils.checkpoint import load_checkpoint, rng_state, save_checkpoint, set_rng_state


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "检查 point.pt"
    save_checkpoint(path, weight=torch.arange(1000.0), epoch=3)
    return path


def test_what_was_saved_comes_back(path):
    saved = load_checkpoint(path)
    assert list(saved) == ["weight", "epoch"] and saved["epoch"] == 3
    assert torch.equal(saved["weight"], torch.arange(1000.0))


def test_map_location_moves_the_tensors(path):
    assert load_checkpoint(path, map_location="meta")["weight"].device.type == "meta"


def test_a_save_that_fails_leaves_the_old_checkpoint(path):
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save_checkpoint(path, weight=torch.zeros(5), bad=lambda: 0)
    assert load_checkpoint(path)["epoch"] == 3
    assert list(path.parent.iterdir()) == [path]  # and no unfinished file beside it


def test_a_file_that_torch_save_gave_up_gives_one_sentence(path):
    with pytest.raises((pickle.PicklingError, AttributeError)):
        torch.save({"bad": lambda: 0}, path)  # leaves an archive without a description
    with pytest.raises(ValueError, match="is damaged.*never finished"):
        load_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_gives_one_sentence(path, keep):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(ValueError, match="检查 point.pt is damaged.*earlier checkpoint"):
        load_checkpoint(path)


def test_a_single_wrong_bit_is_noticed(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.pt"):
        load_checkpoint(tmp_path / "nowhere.pt")


def test_code_in_a_file_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("this must not be printed",)

    torch.save({"evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(tmp_path / "evil.pt")


def test_random_numbers_go_on_where_they_were(tmp_path):
    def draw():
        return random.random(), np.random.rand(), torch.rand(3).tolist(), np.random.randn()

    set_seed(5)
    np.random.randn()  # leaves half a pair behind, which is part of the state
    save_checkpoint(tmp_path / "rng.pt", rng=rng_state())
    expected = draw()
    set_seed(6)
    assert draw() != expected
    set_rng_state(load_checkpoint(tmp_path / "rng.pt")["rng"])
    assert draw() == expected
