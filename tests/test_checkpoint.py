"""Tests of utils/checkpoint.py, on which chapter 28, its training script and later chapters rely."""
import contextlib
import os
import pickle
import random
import subprocess
import sys
import time
from pathlib import Path

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


def test_nothing_is_renamed_before_it_is_on_the_disk(path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (done.append((name, *args)), real(*args)))
    save_checkpoint(path, epoch=4)
    (first, _), (then, source, target) = done
    assert (first, then, Path(target)) == ("fsync", "replace", path) and Path(source).parent == path.parent


# How many bytes still fit: the file's head, part of the numbers, everything but the last of the table of contents.
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of a file")
@pytest.mark.parametrize("room", [0, 700, 50_000, 399_000, 401_000])
def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(path, room):
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # Python ignores the signal: writing fails with an error
    try:
        with pytest.raises(OSError, match=r"检查 point.pt cannot be saved \(.*too large\), and what") as caught:
            save_checkpoint(path, weight=torch.zeros(100_000), epoch=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert load_checkpoint(path)["epoch"] == 3 and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_a_read_only_folder_gives_one_sentence(path, monkeypatch, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr("builtins.open", refuse)  # a folder's mode does not stop an administrator
    monkeypatch.setattr(Path, "unlink", refuse)  # on a read-only disk not even that
    with pytest.raises(OSError, match=f"point.pt cannot be saved .*{error.strerror}.*choose a folder"):
        save_checkpoint(path, epoch=4)
    monkeypatch.undo()
    assert load_checkpoint(path)["epoch"] == 3


def test_a_missing_folder_gives_one_sentence(tmp_path):
    with pytest.raises(OSError, match="last.pt cannot be saved .*No such file.*choose a folder"):
        save_checkpoint(tmp_path / "nowhere" / "last.pt", epoch=1)


WRITER = """
import itertools, sys, torch
from utils.checkpoint import save_checkpoint
for n in itertools.count(1):
    save_checkpoint(sys.argv[1], first=n, weight=torch.full((500_000,), float(n)), last=n)
    print(n, flush=True)
"""


def test_a_process_killed_while_it_writes_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "last.pt"
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
        try:
            for _ in range(3):
                reported = int(writer.stdout.readline())
            time.sleep(random.random() / 50)  # into the middle of something, wherever that is
        finally:
            writer.kill()
        rest = writer.stdout.read().split()
    saved = load_checkpoint(path)
    n = saved["first"]
    # it may have been killed between the renaming and the report
    assert n == saved["last"] and n - int(rest[-1] if rest else reported) in (0, 1)
    assert torch.equal(saved["weight"], torch.full((500_000,), float(n)))
    (tmp_path / "last.pt.part").write_bytes(b"what a killed process leaves behind")
    save_checkpoint(path, epoch=1)
    assert load_checkpoint(path) == {"epoch": 1} and list(tmp_path.iterdir()) == [path]


def test_a_file_truncated_anywhere_gives_one_sentence(tmp_path):
    path = tmp_path / "检查 point.pt"
    save_checkpoint(path, weight=torch.arange(20.0), epoch=3)
    whole = path.read_bytes()
    for keep in [*range(0, len(whole), 17), *range(len(whole) - 30, len(whole))]:
        path.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match="检查 point.pt is damaged .*earlier checkpoint"):
            load_checkpoint(path)


def test_a_wrong_bit_in_any_number_is_noticed(path):
    whole = path.read_bytes()
    numbers = torch.arange(1000.0).numpy().tobytes()
    start = whole.index(numbers)
    for i in range(start, start + len(numbers), 41):
        damaged = bytearray(whole)
        damaged[i] ^= 1 << i % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"is damaged \(.*data/0\)"):
            load_checkpoint(path)


def test_a_wrong_bit_elsewhere_changes_nothing_or_is_an_error(path):
    whole, good = path.read_bytes(), load_checkpoint(path)
    for i in range(0, len(whole), 29):
        damaged = bytearray(whole)
        damaged[i] ^= 1 << 6
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError, RuntimeError, pickle.UnpicklingError):
            saved = load_checkpoint(path)
            assert saved.keys() == good.keys() and torch.equal(saved["weight"], good["weight"])


def test_another_kind_of_file_gives_one_sentence(tmp_path):
    (tmp_path / "notes.pt").write_text("These are no weights.")
    with pytest.raises(ValueError, match="notes.pt is damaged .*zip archive"):
        load_checkpoint(tmp_path / "notes.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.pt"):
        load_checkpoint(tmp_path / "nowhere.pt")


def test_code_in_a_file_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "burgled"),)

    torch.save({"evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "burgled").exists()


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
