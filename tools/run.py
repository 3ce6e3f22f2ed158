"""Runs notebooks headless: `make run` into build/, `make notebooks` in place and clean.

    python tools/run.py [--chapter N] [--save]

Each notebook runs in a kernel of its own, in its own folder, with nbclient (Jupyter's own executor). A bar
shows the cells done; then come the failed cells and a table of seconds and peak memory. Exit status 1 on any
failure. With --save a notebook that ran well replaces itself in the one form that the repository keeps (`clean`).
"""
import argparse
import base64
import io
import os
import re
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build" / "notebooks"
CELL_TIMEOUT = 300  # seconds; a cell that takes longer is stuck


@dataclass
class Result:
    """What running one notebook gave: wall-clock seconds, peak memory in MB, and the failure, if any."""

    path: Path
    notebook: nbformat.NotebookNode
    seconds: float
    peak_mb: float
    failure: str = ""


def find_notebooks(chapter: int | None = None) -> list[Path]:
    """The course's notebooks in order, or the one of a chapter.

    Raises:
        SystemExit: there is no such chapter; the sentence lists those there are.
    """
    paths = sorted(NOTEBOOKS.glob("week*/[0-9][0-9]_*.ipynb"))
    if chapter is None:
        return paths
    chosen = [path for path in paths if int(path.name[:2]) == chapter]
    if not chosen:
        there = ", ".join(str(int(path.name[:2])) for path in paths)
        sys.exit(f"There is no chapter {chapter} in notebooks/: choose one of {there}.")
    return chosen


def watch_memory(pid: int, stop: threading.Event, peak: list[float]) -> None:
    """Keeps in peak[0] the most memory (MB) that a kernel and its worker processes were seen to hold.

    Of a worker only what is its own counts: a forked one shares the kernel's pages until it writes to them.
    """
    while not stop.wait(0.05):
        try:
            kernel = psutil.Process(pid)
            own = sum(worker.memory_full_info().uss for worker in kernel.children(recursive=True))
            peak[0] = max(peak[0], (kernel.memory_info().rss + own) / 1e6)
        except psutil.Error:
            continue  # a worker, or the kernel itself, has just ended


def execute(path: Path, on_cell=lambda: None) -> Result:
    """Runs one notebook from top to bottom in a fresh kernel, in its own folder.

    Args:
        path: the notebook; it is read, not written.
        on_cell: called after each code cell.
    """
    notebook = nbformat.read(path, as_version=4)
    peak, stop = [0.0], threading.Event()

    failing = [0]

    def kernel_started(**_):
        pid = client.km.provisioner.pid
        threading.Thread(target=watch_memory, args=(pid, stop, peak), daemon=True).start()

    def cell_failed(cell_index, **_):
        failing[0] = sum(cell.cell_type == "code" for cell in notebook.cells[: cell_index + 1])

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # no word about the transport between two processes here
        resources={"metadata": {"path": str(path.parent)}},
        on_notebook_start=kernel_started,
        on_cell_executed=lambda **_: on_cell(),
        on_cell_error=cell_failed,
    )
    start, failure = time.perf_counter(), ""
    try:
        client.execute()
    except CellExecutionError as error:
        failure = f"code cell {failing[0]}: {error.ename}: {error.evalue}"
    except (CellTimeoutError, DeadKernelError) as error:
        failure = str(error).splitlines()[0]
    finally:
        stop.set()
        # nbclient takes Ctrl-C for itself: it ends the kernel and then raises this or that, or nothing.
        if hasattr(client, "_async_cleanup_kernel_future"):
            raise KeyboardInterrupt from None
    return Result(path, notebook, time.perf_counter() - start, peak[0], failure)


def without_ansi(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def small_png(encoded: str) -> str:
    """A PNG with at most 256 colours and no metadata: half the size for photos, whose colours shift a little."""
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if image.mode == "P":
        return encoded  # it has been here before
    file = io.BytesIO()
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Puts an executed notebook into the form that is committed, so that two runs give the same bytes.

    Metadata shrinks to the kernel's name and the cells' tags, pieces of one stream become one, figures become
    small, and a shown traceback loses the frames inside installed packages, whose paths differ from machine to
    machine.
    """
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    })
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            last = outputs[-1] if outputs else None
            if output.output_type == "stream" and last and last.get("name") == output.name:
                last.text += output.text
                continue
            if output.output_type == "error":
                output.traceback = [f for f in output.traceback if not without_ansi(f).startswith("File ")]
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = small_png(output.data["image/png"])
            outputs.append(output)
        cell.outputs = outputs
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Writes a notebook whole or not at all: an interrupted save leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    try:
        nbformat.write(notebook, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def report(results: list[Result]) -> None:
    """Prints the failed cells, then the table and the totals."""
    for result in results:
        if result.failure:
            print(f"FAILED {result.path.relative_to(ROOT)}, {without_ansi(result.failure)}")
    width = max(len(result.path.stem) for result in results)
    failed = sum(bool(result.failure) for result in results)
    rows = [(r.path.stem, r.seconds, r.peak_mb, "failed" if r.failure else "ok") for r in results]
    rows.append(("total", sum(r.seconds for r in results), max(r.peak_mb for r in results),
                 f"{len(results) - failed} ok, {failed} failed"))
    print(f"\n{'chapter':<{width}}  seconds  peak MB")
    for name, seconds, peak_mb, state in rows:
        print(f"{name:<{width}}  {seconds:7.1f}  {peak_mb:7.0f}  {state}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapter", type=int, help="only this chapter")
    parser.add_argument("--save", action="store_true", help="save in place instead of into build/")
    args = parser.parse_args()
    paths = find_notebooks(args.chapter)
    cells = sum(c.cell_type == "code" for path in paths for c in nbformat.read(path, as_version=4).cells)
    results = []
    with tqdm(total=cells, unit="cell") as bar:
        for path in paths:
            bar.set_description(path.stem)
            result = execute(path, on_cell=bar.update)
            results.append(result)
            if not args.save:
                write(result.notebook, BUILD / path.relative_to(NOTEBOOKS))
            elif not result.failure:
                write(clean(result.notebook), path)
    report(results)
    sys.exit(any(r.failure for r in results))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted: the running kernel was ended, the notebooks are as they were.")
