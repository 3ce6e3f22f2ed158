"""tools/: running and saving notebooks, setting up, and the API index."""
import ast
import base64
import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from nbconvert import HTMLExporter
from nbformat import NotebookNode, v4
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tools import api_index, bootstrap, run


def notebook(*sources: str, tags: dict[int, str] | None = None) -> NotebookNode:
    """A notebook of code cells; `tags` gives a cell, counted from 0, its tag."""
    cells = [v4.new_code_cell(source) for source in sources]
    for index, tag in (tags or {}).items():
        cells[index].metadata.tags = [tag]
    return v4.new_notebook(cells=cells)


# ------------------------------------------------------------------------------------------------ run.py
@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a notebook into a folder with a difficult name, runs it there and gives the result."""
    def execute(made: NotebookNode) -> run.Result:
        path = tmp_path / "a folder 文件夹" / "01_a.ipynb"
        run.write(made, path)
        return run.execute(path)

    monkeypatch.setattr(run, "CELL_TIMEOUT", 60)
    return execute


def test_a_notebook_runs_in_its_own_folder_and_is_measured(executed):
    calls = "import pathlib; print(pathlib.Path.cwd().name)"
    result = executed(notebook(calls, "1 / 0", "2", tags={1: "raises-exception"}))
    assert result.failure == ""
    assert result.seconds > 0 and result.peak_mb > 0
    assert result.notebook.cells[0].outputs[0].text == "a folder 文件夹\n"
    assert result.notebook.cells[1].outputs[0].ename == "ZeroDivisionError"
    assert [cell.execution_count for cell in result.notebook.cells] == [1, 2, 3]


def test_a_failed_cell_is_named(executed):
    made = notebook("1", "1 / 0", "raise ValueError('too long')", "2", tags={1: "raises-exception"})
    made.cells.insert(0, v4.new_markdown_cell("# Only code cells are counted"))
    made.cells[-1].execution_count = 9  # as a saved notebook has it
    assert executed(made).failure == "code cell 3: ValueError: too long"


def test_a_dead_kernel_is_a_failure(executed):
    assert "Kernel died" in executed(notebook("import os\nos._exit(1)")).failure


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to another process")
def test_ctrl_c_ends_the_kernel(tmp_path: Path):
    shutil.copytree(Path(run.__file__).parent, tmp_path / "tools")
    for name in ("01_a", "02_b"):
        pids = tmp_path / name
        path = tmp_path / "notebooks" / "week1" / f"{name}.ipynb"
        run.write(notebook(f"import os, time\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"), path)
    command = [sys.executable, tmp_path / "tools" / "run.py"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not ((tmp_path / "01_a").exists() and (tmp_path / "01_a").read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=30)
    assert process.returncode == 1
    assert messages.splitlines()[-1].startswith("Interrupted: the running kernel was ended")
    assert not psutil.pid_exists(int((tmp_path / "01_a").read_text()))
    assert not (tmp_path / "02_b").exists()


def test_clean_keeps_what_is_the_same_on_every_machine():
    made = notebook("print(1)", "f()", tags={1: "raises-exception"})
    made.metadata = nbformat.from_dict({"widgets": {"state": {}}, "kernelspec": {"name": "mine"}})
    made.cells[0].metadata = nbformat.from_dict({"execution": {"started": "now"}, "tags": ["nbval-ignore-output"]})
    made.cells[0].outputs = [v4.new_output("stream", name=name, text=text) for name, text in
                             [("stdout", "a"), ("stdout", "b\n"), ("stderr", "c"), ("stdout", "d")]]
    frames = ["Traceback", "\x1b[0;31mCell In[2], line 1\x1b[0m", "\x1b[0;31mFile /lib/torch.py:3\x1b[0m", "Error: x"]
    made.cells[1].outputs = [v4.new_output("error", ename="Error", evalue="x", traceback=frames)]

    cleaned = run.clean(made)

    assert set(cleaned.metadata) == {"kernelspec", "language_info"}
    assert cleaned.metadata.kernelspec.name == "python3"
    assert cleaned.cells[0].metadata == {"tags": ["nbval-ignore-output"]}
    streams = [(output.name, output.text) for output in cleaned.cells[0].outputs]
    assert streams == [("stdout", "ab\n"), ("stderr", "c"), ("stdout", "d")]
    assert cleaned.cells[1].outputs[0].traceback == [frames[0], frames[1], frames[3]]
    once = nbformat.writes(cleaned)
    assert nbformat.writes(run.clean(nbformat.reads(once, as_version=4))) == once


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "01_a.ipynb"
    run.write(notebook("1"), path)
    old = path.read_bytes()

    def stops_half_way(_, target):
        Path(target).write_text('{"cells": [')
        raise KeyboardInterrupt

    monkeypatch.setattr(nbformat, "write", stops_half_way)
    with pytest.raises(KeyboardInterrupt):
        run.write(notebook("2"), path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_chapters_are_found_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "NOTEBOOKS", tmp_path)
    for name in ("week2/06_b.ipynb", "week1/01_a.ipynb", "week1/notes.ipynb"):
        run.write(notebook("1"), tmp_path / name)
    assert [path.name for path in run.find_notebooks()] == ["01_a.ipynb", "06_b.ipynb"]
    assert [path.name for path in run.find_notebooks(6)] == ["06_b.ipynb"]
    with pytest.raises(SystemExit, match=r"^There is no chapter 7 in notebooks/: choose one of 1, 6\.$"):
        run.find_notebooks(7)


def test_clean_keeps_a_figure_and_makes_it_small():
    photo = np.random.default_rng(0).normal(128, 20, (200, 300, 3)).astype("uint8")
    file = io.BytesIO()
    info = PngInfo()
    info.add_text("Software", "1.2.3")
    Image.fromarray(photo).save(file, "png", pnginfo=info)
    before = base64.b64encode(file.getvalue()).decode()
    after = run.small_png(before)
    image = Image.open(io.BytesIO(base64.b64decode(after)))
    assert len(after) < len(before) and image.size == (300, 200) and "Software" not in image.info
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - photo).mean() < 8
    assert run.small_png(after) == after


# ------------------------------------------------------------------------------------------------ bootstrap.py
def test_an_old_python_can_read_why_it_is_refused():
    lines = Path(bootstrap.__file__).read_text(encoding="utf-8").splitlines()
    check = next(n for n, line in enumerate(lines) if line.startswith("import hashlib"))
    head = ast.parse("\n".join(lines[:check]), feature_version=(3, 4))
    assert [type(node) for node in head.body] == [ast.Expr, ast.Import, ast.If]
    ast.parse("\n".join(lines), feature_version=(3, 6))  # a file is parsed whole before its first line runs


@pytest.mark.parametrize(("change", "sentence"), [
    ((importlib.util, "find_spec", lambda name: None), "cannot make virtual environments: install its venv package"),
    ((os, "access", lambda path, mode: False), "is read-only, and .venv has to be made in it: copy the course"),
    ((shutil, "disk_usage", lambda path: types.SimpleNamespace(free=2e9)), "has 2.0 GB left: free some room"),
])
def test_a_machine_that_cannot_hold_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path, change, sentence):
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "no python yet")
    monkeypatch.setattr(*change)
    with pytest.raises(SystemExit, match=re.escape(sentence)):
        bootstrap.check_system()


def test_setup_is_repeated_when_the_dependencies_change_and_only_then(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)

    def write(dependencies: str, rest: str = "", pins: str = "torch==2.15.0") -> str:
        (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = {dependencies}\n{rest}")
        (tmp_path / "requirements.txt").write_text(pins)
        return bootstrap.packages(newest=False)

    before = write('["torch"]')
    assert write('["torch"]', rest="[tool.ruff]\nline-length = 120") == before
    assert write('["torch", "tqdm"]') != before
    assert write('["torch"]', pins="torch==2.15.1") != before
    write('["torch"]')
    assert bootstrap.packages(newest=True) != before


def test_a_moved_folder_needs_a_new_environment(tmp_path, monkeypatch):
    before = bootstrap.place()
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    assert bootstrap.place() != before


# ------------------------------------------------------------------------------------------------ api_index.py
def names_in(*cells: str) -> list[str]:
    """What the index finds in code cells, in alphabetical order and each name once."""
    finder = api_index.NameFinder()
    for source in cells:
        finder.visit(api_index.code_tree(v4.new_code_cell(source)))
    return sorted(set(finder.found))


@pytest.mark.parametrize(("code", "names"), [
    ("import torch\ntorch.ones(2)", ["torch.ones"]),
    ("import torch.nn as nn\nclass Net(nn.Module): pass", ["torch.nn.Module"]),
    ("import torch.nn.functional as F\nF.relu", ["torch.nn.functional.relu"]),
    ("from torch.utils.data import DataLoader as D\nD([])", ["torch.utils.data.DataLoader"]),
    ("from torchvision import transforms\ntransforms.ToTensor()", ["torchvision.transforms.ToTensor"]),
    ("import tensorboard.program\ntensorboard.program.TensorBoard()", ["tensorboard.program.TensorBoard"]),
    ("import torch\nx = 1, torch.float32.itemsize", ["torch.float32"]),
    ("import torch\ntorch.no_such_name, torch.nn, torch.__version__", []),
    ("import numpy as torch\ntorch.ones(2)", []),
    ("loss.backward(); model.named_parameters()", ["torch.Tensor.backward", "torch.nn.Module.named_parameters"]),
    ("values.sum(); path.name; axes.grid(); names.copy()", []),
    ("import torch\nx = torch.ones(2)\nx.view(2, 1)", ["torch.Tensor.view", "torch.ones"]),
    ("import torch\ns = torch.optim.SGD([])\ns.step()", ["torch.optim.Optimizer.step", "torch.optim.SGD"]),
    ("from torch.utils.tensorboard import SummaryWriter as W\nwith W() as w: w.add_scalar()",
     ["torch.utils.tensorboard.SummaryWriter", "torch.utils.tensorboard.SummaryWriter.add_scalar"]),
    ("%matplotlib inline\nimport torch\ntorch.eye(2)", ["torch.eye"]),
    ("this is no Python", []),
])
def test_names_are_resolved(code: str, names: list[str]):
    assert names_in(code) == names


def test_imports_hold_in_later_cells():
    assert names_in("from torch import nn", "nn.Linear(1, 1)") == ["torch.nn.Linear"]


def test_the_page_links_to_sections(tmp_path: Path):
    for week, name, number in [(1, "02_b.ipynb", 2), (2, "06_c.ipynb", 6)]:
        run.write(v4.new_notebook(cells=[
            v4.new_markdown_cell(f"# 0{number} Title · 题"), v4.new_code_cell("import torch\ntorch.eye(1)"),
            v4.new_markdown_cell(f"## {number}.1 `torch.eye` (a, b)"), v4.new_code_cell("torch.eye(2)\ntorch.eye(3)"),
            v4.new_markdown_cell("## Summary"), v4.new_code_cell("torch.eye(2).backward()"),
        ]), tmp_path / f"week{week}" / name)
    sections = [
        "[02](week1/02_b.ipynb)", "[2.1](week1/02_b.ipynb#2.1-torch.eye-(a,-b))",
        "[06](week2/06_c.ipynb)", "[6.1](week2/06_c.ipynb#6.1-torch.eye-(a,-b))",
    ]
    table = "| Name | Sections |\n| :-- | :-- |\n"
    assert api_index.build(tmp_path) == api_index.INTRO + (
        f"\n## torch\n\n{table}| `torch.eye` | {' · '.join(sections)} |\n"
        f"\n## Tensor\n\n{table}| `Tensor.backward` | {sections[1]} · {sections[3]} |\n")


@pytest.mark.parametrize("heading", [
    "3.1 Joining and splitting · 拼接与切分",
    "2.1 `torch.tensor(data, dtype=None)` · 张量",
    "4.2 y = (x + w)(w + 1), what's *next*?",
    "5.3 **a** < b & [c](https://example.org)",
])
def test_anchors_are_those_of_nbconvert(heading: str):
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(
        v4.new_notebook(cells=[v4.new_markdown_cell(f"## {heading}")]))
    anchor = re.search(r'<h2 id="([^"]*)"', page)[1].replace("&amp;", "&")
    assert api_index.notebook_anchor(heading) == anchor


def test_anchors_of_markdown_files_are_github_s():
    headings = ["The course · 课程", "What's `nn.Linear`?", "Week 1", "Week 1"]
    assert api_index.markdown_anchors(headings) == ["the-course--课程", "whats-nnlinear", "week-1", "week-1-1"]


def test_a_heading_in_a_code_block_is_none():
    assert api_index.headings("# One\n\n```python\n# no heading\n```\n\n## Two ##") == [(1, "One"), (2, "Two")]


def test_a_stale_index_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(api_index, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr("sys.argv", ["api_index.py", "--check"])
    with pytest.raises(SystemExit, match="run `make index`"):
        api_index.main()
    monkeypatch.setattr("sys.argv", ["api_index.py"])
    api_index.main()
    monkeypatch.setattr("sys.argv", ["api_index.py", "--check"])
    api_index.main()
    assert (tmp_path / "API_INDEX.md").read_text(encoding="utf-8") == api_index.INTRO
