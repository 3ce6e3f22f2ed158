"""Writes notebooks/API_INDEX.md: every torch, torchvision and tensorboard name that the chapters run.

    python tools/api_index.py [--check]

The names are read from the code cells without running them: imports and their aliases are followed to the
full dotted name, and a name counts only if the installed library has it. --check writes nothing and fails
if the page is not what the notebooks give.
"""
import argparse
import ast
import importlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from urllib.parse import quote

import nbformat
import numpy as np
import torch
from IPython.core.inputtransformer2 import TransformerManager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LIBRARIES = ("torch", "torchvision", "tensorboard")
MOST_LINKS = 6
INTRO = f"""# API index · 接口索引

Every `torch`, `torchvision` and `tensorboard` name that the chapters run, with links to the first
{MOST_LINKS} sections that run it. `make index` writes this page from the code cells of the notebooks, and a
test holds it current. Back to the [contents](README.md).
"""
# The page's groups in order, and how the names in them begin; a name goes where its beginning is longest.
GROUPS = {
    "torch": ("torch.",),
    "Tensor": ("torch.Tensor.",),
    "torch.autograd": ("torch.autograd.",),
    "torch.nn": ("torch.nn.",),
    "torch.nn.functional": ("torch.nn.functional.",),
    "torch.nn.init": ("torch.nn.init.",),
    "torch.optim": ("torch.optim.",),
    "torch.utils.data": ("torch.utils.data.",),
    "torchvision": ("torchvision.",),
    "TensorBoard": ("torch.utils.tensorboard.", "tensorboard."),
}
# An attribute of an object of unknown type counts as a tensor's or a module's only if none of these has it.
OTHER_TYPES = (
    *(str, bytes, int, float, complex, list, tuple, dict, set),
    *(np.ndarray, Path, Axes, Figure, Image.Image),
)


def heading_text(markdown: str) -> str:
    """A heading as it is read: without the marks of code, emphasis and links."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown.strip())
    return re.sub(r"[`*]", "", text)


def notebook_anchor(heading: str) -> str:
    """The anchor of a heading on a notebook's page.

    GitHub and nbviewer draw notebooks with nbconvert, whose anchors keep case and punctuation, turn spaces
    into hyphens and percent-encode the rest (nbconvert/filters/strings.py, `_convert_header_id`).
    """
    return quote(heading_text(heading).replace(" ", "-"), safe="?/:@!$&'()*+,;=")


def markdown_anchors(headings: list[str]) -> list[str]:
    """The anchors that GitHub gives the headings of a markdown file: lower case, no punctuation, unique."""
    slugs = [re.sub(r"[^\w\- ]", "", heading_text(text).lower()).replace(" ", "-") for text in headings]
    return [f"{slug}-{slugs[:i].count(slug)}" if slug in slugs[:i] else slug for i, slug in enumerate(slugs)]


def without_code_blocks(markdown: str) -> str:
    """Markdown with its fenced code blocks left out, because what looks like a heading in them is none."""
    return re.sub(r"^ *(```|~~~).*?^ *\1", "", markdown, flags=re.MULTILINE | re.DOTALL)


def headings(markdown: str) -> list[tuple[int, str]]:
    """The headings of a piece of markdown, each as (level, text)."""
    found = re.findall(r"^(#{1,6}) +(.+?)[ #]*$", without_code_blocks(markdown), re.MULTILINE)
    return [(len(marks), text) for marks, text in found]


def code_tree(cell: nbformat.NotebookNode) -> ast.Module:
    """The syntax tree of a code cell, its magics turned into plain Python; empty where it is no Python."""
    try:
        return ast.parse(TransformerManager().transform_cell(cell.source))
    except SyntaxError:  # a cell may show what a syntax error looks like
        return ast.Module(body=[], type_ignores=[])


@cache
def resolve(dotted: str) -> tuple[str, object] | None:
    """The public library object that a dotted name leads to, and the part of the name that leads there.

    What follows an object that is neither module nor class is left off (`torch.float32.itemsize` gives
    `torch.float32`). None if the name is private, belongs to no library of the index, or does not exist.
    """
    first, *parts = dotted.split(".")
    if first not in LIBRARIES or any(part.startswith("_") for part in parts):
        return None
    found, name = importlib.import_module(first), first
    for part in parts:
        if not isinstance(found, ModuleType | type):
            break
        if not hasattr(found, part):
            try:  # a submodule that its package does not import by itself
                importlib.import_module(f"{name}.{part}")
            except ImportError:
                return None
        found, name = getattr(found, part), f"{name}.{part}"
    return name, found


def public_name(kind: type) -> str:
    """The shortest dotted name of a class: `torch.nn.Module` for what lives in torch.nn.modules.module."""
    modules = accumulate(kind.__module__.split("."), "{}.{}".format)
    names = (f"{module}.{kind.__name__}" for module in modules)
    return next((name for name in names if (resolve(name) or (name, None))[1] is kind), "")


class NameFinder(ast.NodeVisitor):
    """Collects the library names that a notebook's cells use; visit the cells in order, then read `found`."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.imported: dict[str, str] = {}  # a name in the notebook -> what it was imported from
        self.kinds: dict[str, type] = {}  # a variable -> the library class of its value, where that is plain
        self.classes: dict[str, type] = {}  # a class of the notebook -> the library class that it extends

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            self.imported[bound] = alias.name if alias.asname else bound

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def dotted(self, node: ast.expr) -> str | None:
        """The full name of an expression like `nn.init.zeros_`, if it starts at something imported."""
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value)
            return before and f"{before}.{node.attr}"
        return self.imported.get(node.id) if isinstance(node, ast.Name) else None

    def kind(self, node: ast.expr | None) -> type | None:
        """The library class that an expression is an instance of, as far as that can be told by reading."""
        if isinstance(node, ast.Name):
            return self.kinds.get(node.id)
        if not isinstance(node, ast.Call):
            return None
        if isinstance(node.func, ast.Name) and node.func.id in self.classes:
            return self.classes[node.func.id]
        _, called = resolve(self.dotted(node.func) or "") or ("", None)
        if isinstance(called, BuiltinFunctionType):  # torch.ones, torch.matmul: compiled, giving tensors
            return torch.Tensor
        return called if isinstance(called, type) else None

    def bind(self, target: ast.expr | None, value: ast.expr) -> None:
        """Notes what a variable holds from here on."""
        if isinstance(target, ast.Name):
            kind = self.kind(value)
            self.kinds.pop(target.id, None)
            if kind:
                self.kinds[target.id] = kind

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self.bind(target, node.value)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            self.bind(item.optional_vars, item.context_expr)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [(resolve(self.dotted(base) or "") or ("", None))[1] for base in node.bases]
        if bases and isinstance(bases[0], type):
            self.classes[node.name] = self.kinds["self"] = bases[0]
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.count(self.imported.get(node.id, ""))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = self.dotted(node)
        if dotted:
            self.count(dotted)
            return
        self.visit(node.value)
        kind = self.kind(node.value) or guess_owner(node.attr)
        if kind:
            # Where a whole family has it, the name is the family's: Optimizer.step, not SGD.step.
            owners = [public_name(base) for base in kind.__mro__ if hasattr(base, node.attr)]
            self.count(f"{['', *filter(None, owners)][-1]}.{node.attr}")

    def count(self, dotted: str) -> None:
        name, value = resolve(dotted) or ("", None)
        if name and not isinstance(value, ModuleType):
            self.found.append(name)


def guess_owner(attribute: str) -> type | None:
    """Whose attribute this is on an object of unknown type, where only a tensor or only a module has it."""
    owners = [kind for kind in (*OTHER_TYPES, torch.Tensor, torch.nn.Module) if hasattr(kind, attribute)]
    if owners[:1] == [torch.nn.Module] and hasattr(torch.optim.Optimizer, attribute):
        return None  # model.zero_grad() or optimizer.zero_grad()?
    return owners[0] if owners and owners[0] not in OTHER_TYPES else None


def names_of(path: Path) -> Iterator[tuple[str, str]]:
    """Each library name that a notebook uses, with the link to the section where."""
    page = f"{path.parent.name}/{path.name}"
    link, finder = f"[{path.name[:2]}]({page})", NameFinder()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for level, text in headings(cell.source):
                numbered = re.match(r"\d+(\.\d+)+", text)
                if level > 1 and numbered:
                    link = f"[{numbered[0]}]({page}#{notebook_anchor(text)})"
        elif cell.cell_type == "code":
            finder.found = []
            finder.visit(code_tree(cell))
            yield from ((name, link) for name in finder.found)


def group_of(name: str) -> str:
    """The group of the page that a name belongs to."""
    group_by_start = {start: group for group, starts in GROUPS.items() for start in starts}
    return group_by_start[max(filter(name.startswith, group_by_start), key=len)]


def build(notebooks: Path) -> str:
    """The text of the page for the chapters in a folder."""
    links: dict[str, dict[str, None]] = {}  # name -> its links, in order and each once, as a dict's keys are
    for path in sorted(notebooks.glob("week*/[0-9][0-9]_*.ipynb")):
        for name, link in names_of(path):
            links.setdefault(name, {})[link] = None
    page = INTRO
    for group in GROUPS:
        names = sorted((name for name in links if group_of(name) == group), key=str.lower)
        if names:
            page += f"\n## {group}\n\n| Name | Sections |\n| :-- | :-- |\n"
        for name in names:
            shown = " · ".join(list(links[name])[:MOST_LINKS])
            page += f"| `{name.removeprefix('torch.') if group == 'Tensor' else name}` | {shown} |\n"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is stale")
    page, target = build(NOTEBOOKS), NOTEBOOKS / "API_INDEX.md"
    if not parser.parse_args().check:
        target.write_text(page, encoding="utf-8", newline="\n")
    elif not target.exists() or target.read_text(encoding="utf-8") != page:
        sys.exit("notebooks/API_INDEX.md is not what the notebooks give: run `make index`.")


if __name__ == "__main__":
    main()
