"""Data-parallel training: several processes, each with its share of every batch.

    torchrun --nproc-per-node=2 --max-restarts=1 --log-dir=FOLDER/logs \
        --rdzv-backend=c10d --rdzv-conf=store_type=file --rdzv-endpoint=FOLDER/torchrun \
        train_distributed.py FOLDER

FOLDER (a full path) holds digits.pt, a pair of X and y; first_gradients.pt and the checkpoint last.pt are written
there. In the first attempt rank 1 kills itself in the middle of epoch 2, to show what happens then.
"""
import os
import signal
import socket
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from utils import get_device, set_seed
from utils.checkpoint import load_checkpoint, save_checkpoint

NUM_EPOCHS, BATCH_SIZE, SEED = 3, 32, 30


def start(device="cpu"):
    """A new model and its optimizer, the same in every process."""
    set_seed(SEED)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model.to(device)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def connect(folder, rank, world_size, attempt):
    """Joins the other ranks; returns this one's device: a GPU of its own if there are enough."""
    backend, device = "gloo", torch.device("cpu")
    if get_device().type == "cuda" and torch.cuda.device_count() >= world_size:
        backend, device = "nccl", torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    for _, name in socket.if_nameindex():
        if name in ("lo", "lo0"):  # of Linux, of macOS: nobody outside can connect
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
    # The ranks meet in a file, a new one for each attempt: the old one names the dead.
    meeting = dist.FileStore(str(folder / f"meeting-{attempt}"), world_size)
    dist.init_process_group(
        backend, store=meeting, rank=rank, world_size=world_size, timeout=timedelta(seconds=60)
    )
    return device


def main(folder):
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    device = connect(folder, rank, world_size, attempt)
    checkpoint = folder / "last.pt"

    model, optimizer = start(device)
    first_epoch = 1
    if checkpoint.exists():  # every rank loads it, only rank 0 writes it
        saved = load_checkpoint(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first_epoch = saved["epoch"] + 1
    parallel = DistributedDataParallel(model)
    data = TensorDataset(*torch.load(folder / "digits.pt"))
    sampler = DistributedSampler(data, shuffle=True, seed=SEED)
    loader = DataLoader(data, batch_size=BATCH_SIZE, sampler=sampler)
    if rank == 0:
        print(f"attempt {attempt}: {world_size} ranks, from epoch {first_epoch}", flush=True)

    for epoch in range(first_epoch, NUM_EPOCHS + 1):
        sampler.set_epoch(epoch)
        total = torch.zeros((), device=device)
        for step, (X, y) in enumerate(loader):
            if (rank, attempt, epoch, step) == (1, 0, 2, 10):
                os.kill(os.getpid(), signal.SIGKILL)
            loss = nn.functional.cross_entropy(parallel(X.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()  # averages the gradients over the ranks
            if rank == 0 and (epoch, step) == (1, 0):
                gradients = [p.grad.cpu() for p in model.parameters()]
                torch.save(gradients, folder / "first_gradients.pt")
            optimizer.step()
            total += loss.detach() / len(loader)
        dist.all_reduce(total)  # the sum over the ranks
        if rank == 0:
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save_checkpoint(checkpoint, **states, epoch=epoch)
            print(f"epoch {epoch}: loss {total.item() / world_size:.2f}", flush=True)
    # Nobody leaves before rank 0 has saved.
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    # A thread of gloo may still have a tensor of Python's to free, and if the interpreter is ending by then, the
    # process aborts. So it ends at once, without Python's farewell.
    os._exit(0)
