"""Measures the course: `make bench` prints each chapter's seconds, memory and size on disk, then the special benches.

Seconds mean little from one machine to the next, so each is also given over the floor: the time to start a
kernel and import torch, torchvision and pyplot, measured three times in the same run, of which the median counts.
A chapter that did nothing at all would stand at 1.0.
"""
import statistics
import tempfile
from itertools import groupby
from pathlib import Path

import bench_cam
import bench_loading
import bench_pepper
import nbformat
from run import execute, find_notebooks

IMPORTS = "import torch\nimport torchvision\nimport matplotlib.pyplot"


def measure_floor() -> float:
    """Seconds to run a notebook that only imports."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(IMPORTS)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "floor.ipynb"
        nbformat.write(notebook, path)
        return statistics.median(execute(path).seconds for _ in range(3))


def bench_chapters() -> None:
    """Prints one row a chapter, one a week and one for the course."""
    floor = measure_floor()
    row = "{:<34} {:>8} {:>10} {:>8} {:>6}".format
    print(f"The floor is {floor:.1f} s.\n")
    print(row("chapter", "seconds", "over floor", "peak MB", "kB"))
    seconds = []
    for week, paths in groupby(find_notebooks(), key=lambda path: path.parent.name):
        of_week = []
        for path in paths:
            result = execute(path)
            of_week.append(result.seconds)
            print(row(path.stem, f"{result.seconds:.1f}", f"{result.seconds / floor:.2f}", f"{result.peak_mb:.0f}",
                      f"{path.stat().st_size / 1000:.0f}"), result.failure, flush=True)
        print(row(week, f"{sum(of_week):.1f}", f"{statistics.mean(of_week) / floor:.2f}", "", ""))
        seconds += of_week
    print(row("course", f"{sum(seconds):.1f}", f"{statistics.mean(seconds) / floor:.2f}", "", ""))


if __name__ == "__main__":
    bench_chapters()
    for bench in (bench_loading, bench_pepper, bench_cam):
        print()
        bench.main()
