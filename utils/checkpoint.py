"""Checkpoints that survive a crash, written out in chapter 28."""
import contextlib
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch


def save_checkpoint(path: str | Path, **state: Any) -> None:
    """Writes a checkpoint whole or not at all: whatever happens meanwhile, the file is the old one or the new one.

    One process writes to a path at a time: of several ranks, rank 0 alone. A process that is killed while it writes
    leaves a file PATH.part behind, which the next call overwrites.

    Args:
        path: the file; the folder must exist.
        state: what to keep under which name, such as ``model=model.state_dict(), epoch=3``.

    Raises:
        OSError: it cannot be written: the disk is full, or the folder is read-only or missing.
        pickle.PicklingError, AttributeError: it holds something that cannot be saved, such as a lambda.
    """
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")  # same folder: only there is the renaming one step
    try:
        with open(unfinished, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # on the disk, not only on its way there
        os.replace(unfinished, path)
    except (OSError, RuntimeError) as error:  # torch.save hides a full disk behind a RuntimeError
        cause = error.__context__ if isinstance(error, RuntimeError) else None
        raise OSError(
            f"{path} cannot be saved ({cause or error}), and what was there before still is: "
            "make room, or choose a folder that can be written to."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def load_checkpoint(path: str | Path, map_location: str = "cpu") -> dict[str, Any]:
    """Reads what save_checkpoint wrote, after a look at the checksums, which torch.load does not compare.

    Args:
        path: the file.
        map_location: the device to put the tensors on. Leave it on the CPU for generator states;
            load_state_dict moves everything else to where it belongs.

    Returns:
        The names and values that were saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged.
        pickle.UnpicklingError: it holds something else than tensors and plain Python values.
    """
    with open(path, "rb") as file:  # a file that is missing is not a damaged one
        try:
            archive = zipfile.ZipFile(file)
            finished = any(name.endswith("/data.pkl") for name in archive.namelist())
            damaged = archive.testzip() if finished else "it was never finished"
        except Exception:  # damaged bytes can raise anything
            damaged = "it is not a whole zip archive"
    if damaged:
        raise ValueError(
            f"{path} is damaged ({damaged}): load an earlier checkpoint, or train again."
        )
    return torch.load(path, map_location=map_location, weights_only=True)


def rng_state() -> dict[str, Any]:
    """The states of Python's, NumPy's and PyTorch's generators (CPU and CUDA), as values that a checkpoint can hold."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Puts all generators back to where they were when rng_state() was called (CUDA's only where there are as many)."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
