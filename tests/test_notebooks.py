"""What must be true of every notebook, and that each of these rules notices a notebook that breaks it.

A rule is a function from a page to a list of complaints, each one sentence with the remedy. Cells are counted from
1, prose and code together. To add a rule: write it, put it into RULES, and add a change to BREAKS that only it notices.
"""
import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from nbformat import NotebookNode, v4

from tools import api_index, run
from tools.api_index import code_tree, headings, markdown_anchors, notebook_anchor, without_code_blocks

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = "notebooks/week*/[0-9][0-9]_*.ipynb"
MOST_BYTES = 500_000
WORDS = range(800, 3001)
MOST_LINES, MOST_COLUMNS = 30, 100
EXERCISES = range(3, 6)
EXCUSES = {"nbval-ignore-output", "nbval-skip"}
# What a chapter teaches by writing it out and utils/ then shares with later chapters is there twice by design: its
# name and the notebook that teaches it, for example ("LeNet", "notebooks/week3/10_module.ipynb").
TAUGHT_HERE_SHARED_LATER: tuple[tuple[str, str], ...] = (
    ("AddPepperNoise", "notebooks/week2/09_transforms_color_custom.ipynb"),
    ("LeNet", "notebooks/week3/10_module.ipynb"),
    ("AlexNet", "notebooks/week3/11_containers_alexnet.ipynb"),
    ("rng_state", "notebooks/week6/28_save_load.ipynb"),
    ("set_rng_state", "notebooks/week6/28_save_load.ipynb"),
    ("save_checkpoint", "notebooks/week6/28_save_load.ipynb"),
    ("load_checkpoint", "notebooks/week6/28_save_load.ipynb"),
    *((name, "notebooks/week5/23_hooks_cam.ipynb")
      for name in ("find_layer", "choose_scores", "to_unit_range", "heat_maps", "evaluation_mode", "grad_cam",
                   "hits")),
)


@dataclass(frozen=True)
class Page:
    """A notebook of the course whose root folder is given."""

    path: Path
    notebook: NotebookNode
    root: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(self.root).as_posix()

    @property
    def number(self) -> str:
        return self.path.name[:2]

    def at(self, cell: int) -> str:
        return f"{self.name}, cell {cell}:"

    def cells(self, kind: str) -> list[tuple[int, NotebookNode]]:
        """The cells of a kind, each with its number."""
        return [(n, cell) for n, cell in enumerate(self.notebook.cells, 1) if cell.cell_type == kind]

    def prose(self) -> list[tuple[int, str]]:
        """The text of the markdown cells with all code taken out, each with the cell's number."""
        return [(n, without_code(cell.source)) for n, cell in self.cells("markdown")]

    def headings(self) -> list[tuple[int, int, str]]:
        """All headings as (cell number, level, text)."""
        return [(n, *heading) for n, cell in self.cells("markdown") for heading in headings(cell.source)]


@cache
def open_page(path: Path, root: Path) -> Page:
    return Page(path, nbformat.read(path, as_version=4), root)


def pages(root: Path) -> list[Page]:
    return [open_page(path, root) for path in sorted(root.glob(NOTEBOOKS))]


def without_code(markdown: str) -> str:
    """Markdown with its code blocks and code spans emptied."""
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "``", without_code_blocks(markdown), flags=re.DOTALL)


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def texts(output: NotebookNode) -> Iterator[str]:
    """What an output says in words: a stream, an error, or the text forms of a shown value."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        yield run.without_ansi("\n".join([f"{output.ename}: {output.evalue}", *output.traceback]))
    else:
        yield from (str(data) for kind, data in output.data.items() if kind.startswith(("text/", "image/svg")))


def said(cell: NotebookNode) -> str:
    """All the text of a code cell's outputs."""
    return "\n".join(text for output in cell.outputs for text in texts(output))


# ------------------------------------------------------------------------------------------------ the saved run
def run_in_order(page: Page) -> list[str]:
    """Code cells are saved as 1..N, none is empty."""
    complaints = [f"{page.at(n)} it is empty; delete it."
                  for n, cell in enumerate(page.notebook.cells, 1) if not cell.source.strip()]
    full = [(n, cell) for n, cell in page.cells("code") if cell.source.strip()]
    for count, (n, cell) in enumerate(full, 1):
        if cell.execution_count != count:
            complaints.append(f"{page.at(n)} it was saved as run number {cell.execution_count} and is the code cell "
                              f"number {count}; run `make notebooks CH={int(page.number)}`.")
    return complaints


def no_noise(page: Page) -> list[str]:
    """No stderr, no warnings, no progress bars."""
    complaints = []
    for n, cell in page.cells("code"):
        if any(output.get("name") == "stderr" for output in cell.outputs):
            complaints.append(f"{page.at(n)} it wrote to stderr; remove the cause of the message.")
        if warning := re.search(r"\w*Warning:", said(cell)):
            complaints.append(f"{page.at(n)} its output holds a warning ({warning[0]}); remove the cause.")
        if re.search(r"\d%\||\d(it/s|s/it)\b", said(cell)):
            complaints.append(f"{page.at(n)} its output holds a progress bar; print the results only.")
    return complaints


def errors_are_planned(page: Page) -> list[str]:
    """A cell fails if and only if its tag says so."""
    complaints = []
    for n, cell in page.cells("code"):
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed and "raises-exception" not in tags(cell):
            complaints.append(f"{page.at(n)} it fails; mend it, or tag it raises-exception if it is meant to fail.")
        if not failed and "raises-exception" in tags(cell):
            complaints.append(f"{page.at(n)} it is tagged raises-exception and does not fail; remove the tag.")
    return complaints


def saved_by_the_one_writer(page: Page) -> list[str]:
    """The file is byte for byte what `make notebooks` writes: no widget state, unique cell ids, sorted keys."""
    saved = page.path.read_text(encoding="utf-8").splitlines()  # line ends may be a platform's own
    wanted = nbformat.writes(run.clean(deepcopy(page.notebook))).splitlines()
    for number, (here, there) in enumerate(zip([*saved, "its end"], [*wanted, "its end"], strict=False), 1):
        if here != there:
            return [f"{page.name}, line {number} of the file: it was not saved by tools/run.py, which writes "
                    f"{there.strip()[:60]!r} there; run `make notebooks CH={int(page.number)}`."]
    return []


def no_widgets(page: Page) -> list[str]:
    """No widget is shown, since GitHub shows nothing of it."""
    return [f"{page.at(n)} it shows a widget, which GitHub does not draw; print text or plot a figure."
            for n, cell in page.cells("code") for output in cell.outputs
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]


def nothing_of_this_machine(page: Page) -> list[str]:
    """No path, memory address or version of the machine where it was saved."""
    anywhere = {
        "a path of one machine": r"(?<![\w.])/(home|root|tmp|Users)\b|\b[A-Z]:\\|site-packages|" + re.escape(str(ROOT)),
        "a memory address": r"\b0x[0-9a-fA-F]{9,}",
    }
    compared = {"a version number": r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])"}
    complaints = []
    for n, cell in enumerate(page.notebook.cells, 1):
        output = said(cell) if cell.cell_type == "code" else ""
        places = [(pattern, what, cell.source + "\n" + output) for what, pattern in anywhere.items()]
        if not EXCUSES & tags(cell):
            places += [(pattern, what, output) for what, pattern in compared.items()]
        for pattern, what, text in places:
            if found := re.search(pattern, text):
                complaints.append(f"{page.at(n)} it holds {what} ({found[0]}), which differs elsewhere; leave it out.")
    return complaints


# ------------------------------------------------------------------------------------------------ size
def small_enough_for_github(page: Page) -> list[str]:
    """GitHub draws small files reliably and large ones at times."""
    size = page.path.stat().st_size
    return [f"{page.name}: the file has {size / 1000:.0f} kB, more than {MOST_BYTES / 1000:.0f}; make the figures "
            "fewer or smaller."] if size > MOST_BYTES else []


def count_words(page: Page) -> int:
    """The words of the prose; formulas, tables, code and the targets of links are not counted."""
    text = "\n".join(source for _, source in page.prose())
    text = re.sub(r"\$\$.+?\$\$|\$[^$]+\$|^ *\|[^\n]*$|\]\([^)]*\)", " ", text, flags=re.DOTALL | re.MULTILINE)
    return len(re.findall(r"\w+(?:[-'’.]\w+)*", text))


def long_enough_to_explain(page: Page) -> list[str]:
    """A chapter explains in full paragraphs, and ends before the reader tires."""
    words = count_words(page)
    return [] if words in WORDS else [
        f"{page.name}: its prose has {words} words; make them {WORDS[0]} to {WORDS[-1]} (formulas, tables and code "
        "are not counted)."]


# ------------------------------------------------------------------------------------------------ titles and links
def title(page: Page) -> str:
    """The English title: of `# 04 Dynamic graphs · 动态图` this is `Dynamic graphs`."""
    first = next((text for _, level, text in page.headings() if level == 1), page.path.stem)
    return re.sub(r"^\d+ ", "", first).split(" · ")[0]


def one_title(page: Page) -> list[str]:
    """One H1, `# NN Title · 中文`, in the first markdown cell."""
    complaints = [f"{page.at(n)} it has a second title ({text}); make it a ## heading."
                  for n, _, text in [h for h in page.headings() if h[1] == 1][1:]]
    first = next(iter(page.cells("markdown")), (1, v4.new_markdown_cell()))
    if not re.match(rf"# {page.number} \S.* · .*[\u4e00-\u9fff]", first[1].source):
        complaints.append(f"{page.at(first[0])} it does not begin with the chapter's title; write "
                          f"`# {page.number} Title · 中文`.")
    return complaints


def sections_are_numbered(page: Page) -> list[str]:
    """`## NN.k` and `### NN.k.j` ascend; the closing sections are there."""
    complaints, before = [], ()
    for n, level, text in page.headings():
        digits = re.match(r"(\d+(?:\.\d+)*)\b", text)
        if level == 1 or not digits:
            continue
        numbers = tuple(int(part) for part in digits[1].split("."))
        if len(numbers) != level or numbers[0] != int(page.number):
            complaints.append(f"{page.at(n)} the heading {text!r} has the wrong kind of number; write "
                              f"`## {int(page.number)}.k ...` or `### {int(page.number)}.k.j ...`.")
        elif numbers <= before:
            complaints.append(f"{page.at(n)} the heading {text!r} comes after "
                              f"{'.'.join(map(str, before))}; number the sections in ascending order.")
        before = max(before, numbers)
    if not before:
        complaints.append(f"{page.name}: no section is numbered; write `## {int(page.number)}.1 ...`.")
    there = [text for _, level, text in page.headings() if level == 2]
    complaints += [f"{page.name}: the section `## {wanted}` is missing; add it at the end."
                   for wanted in ("Summary", "Exercises", "References")
                   if not any(re.match(rf"{wanted}\b", text) for text in there)]
    return complaints


def a_few_exercises(page: Page) -> list[str]:
    """Three to five exercises, a numbered list under `## Exercises`."""
    prose = "\n".join(source for _, source in page.prose())
    section = re.search(r"^## Exercises\b.*?\n(.*?)(?=^## |\Z)", prose, re.DOTALL | re.MULTILINE)
    count = len(re.findall(r"^\d+\. ", section[1], re.MULTILINE)) if section else 0
    return [] if count in EXERCISES or not section else [
        f"{page.name}: it has {count} numbered exercises; give {EXERCISES[0]} to {EXERCISES[-1]}, each `1. ...`."]


def navigation_line(page: Page) -> str:
    """The line that leads from a chapter to the one before, the contents and the one after."""
    course = pages(page.root)
    here = [other.path for other in course].index(page.path)

    def link(other: Page, before: str = "", after: str = "") -> str:
        same_week = other.path.parent == page.path.parent
        target = other.path.name if same_week else f"../{other.path.parent.name}/{other.path.name}"
        return f"[{before}{other.number} {title(other)}{after}]({target})"

    return " · ".join([
        *(link(other, before="← ") for other in course[:here][-1:]),
        "[Contents](../README.md)",
        *(link(other, after=" →") for other in course[here + 1:][:1]),
    ])


def navigation_both_ways(page: Page) -> list[str]:
    """The navigation line stands in the first and in the last markdown cell."""
    line, cells = navigation_line(page), page.cells("markdown")
    return [f"{page.at(n)} the navigation line is missing or wrong; this is it: {line}"
            for n, cell in ([cells[0], cells[-1]] if cells else []) if line not in cell.source.splitlines()]


def anchors_of(path: Path, root: Path) -> list[str]:
    """The anchors of a page, by the rules of what draws it."""
    if path.suffix == ".ipynb":
        return [notebook_anchor(text) for _, _, text in open_page(path, root).headings()]
    return markdown_anchors([text for _, text in headings(path.read_text(encoding="utf-8"))])


def link_complaints(where: str, prose: str, path: Path, root: Path, attached: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with the links and images in a piece of prose of the file at `path`."""
    complaints = []
    target_form = r"\(((?:[^()\s]|\([^()\s]*\))*)[^()]*\)"  # (target), (target "title"), (wiki_(page))
    targets = re.findall(rf"\]{target_form}", prose)
    for alt, image in re.findall(rf"!\[([^\]]*)\]{target_form}", prose):
        if not alt.strip():
            complaints.append(f"{where} the image {image} has no text for those who cannot see it; write ![what it "
                              "shows](...).")
        if image.startswith(("http:", "https:", "//")):
            complaints.append(f"{where} the image {image} is on another machine; put it into the course.")
    for target in targets:
        file, _, anchor = unquote(target).partition("#")
        if re.match(r"(https?|mailto):|//", file):
            continue
        if file.startswith("attachment:"):
            if file.removeprefix("attachment:") not in attached:
                complaints.append(f"{where} the image {file} is not attached to its cell; attach it or link a file.")
            continue
        linked = (path.parent / file).resolve() if file else path
        if not linked.exists():
            complaints.append(f"{where} the link {target} leads to no file; correct it.")
        elif anchor and linked.suffix in (".md", ".ipynb"):
            anchors = anchors_of(linked, root)
            if anchor not in map(unquote, anchors):
                complaints.append(f"{where} the link {target} names no heading there; choose one of "
                                  f"{', '.join('#' + a for a in anchors)}.")
    return complaints


def links_lead_somewhere(page: Page) -> list[str]:
    """Links lead to files and headings that exist; images are there and have alt texts."""
    attached = {n: tuple(cell.get("attachments", {})) for n, cell in page.cells("markdown")}
    return [complaint for n, prose in page.prose()
            for complaint in link_complaints(page.at(n), prose, page.path, page.root, attached[n])]


# ------------------------------------------------------------------------------------------------ what GitHub draws
def maths_that_github_draws(page: Page) -> list[str]:
    """Formulas in the forms that GitHub's page understands."""
    complaints = []
    for n, source in page.prose():
        text = re.sub(r"^[ >]+|\\\$", "", source, flags=re.MULTILINE)  # quotes, indents and \$ are no maths
        if found := re.search(r"\\begin\{(align|equation|gather|eqnarray)\*?\}", text):
            complaints.append(f"{page.at(n)} GitHub does not draw {found[0]}; write $$\\begin{{aligned}}...$$.")
        parts = text.split("$$")
        alone = all((not before.strip() or before.endswith("\n\n")) and (not after.strip() or after.startswith("\n\n"))
                    for before, after in zip(parts[::2], parts[2::2], strict=False))
        if len(parts) % 2 and not alone:
            complaints.append(f"{page.at(n)} a $$ formula touches the text; put an empty line before and after it.")
        if len(parts) % 2 == 0 or any(p.count("$") % 2 for part in parts[::2] for p in part.split("\n\n")):
            complaints.append(f"{page.at(n)} a dollar sign has no partner; close the formula, or write \\$ for money.")
    return complaints


def html_that_github_draws(page: Page) -> list[str]:
    """No HTML that GitHub strips or shows open."""
    return [f"{page.at(n)} GitHub does not show <{found}> as meant; use plain markdown."
            for n, source in page.prose() for found in re.findall(r"<(details|style|script|img)\b", source)]


# ------------------------------------------------------------------------------------------------ the code
def begins_with_a_seed(page: Page) -> list[str]:
    """The first code cell imports, seeds and chooses the device, and shows nothing."""
    n, cell = next(iter(page.cells("code")), (1, v4.new_code_cell()))
    complaints = [] if "set_seed(" in cell.source else [
        f"{page.at(n)} the first code cell sets no seed; call set_seed(...) from utils in it."]
    return complaints + ([f"{page.at(n)} the first code cell shows something; leave its output empty."]
                         if cell.outputs else [])


def cells_are_short(page: Page) -> list[str]:
    """Cells and lines that fit on a screen."""
    complaints = []
    for n, cell in page.cells("code"):
        lines = cell.source.splitlines()
        if len(lines) > MOST_LINES:
            complaints.append(f"{page.at(n)} it has {len(lines)} lines; split it into cells of {MOST_LINES} at most.")
        complaints += [f"{page.at(n)} its line {i} has {len(line)} characters; break it at {MOST_COLUMNS}."
                       for i, line in enumerate(lines, 1) if len(line) > MOST_COLUMNS]
    return complaints


def excused(page: Page) -> list[int]:
    """The numbers of the code cells whose output is not compared."""
    return [n for n, cell in page.cells("code") if EXCUSES & tags(cell)]


def nearly_all_compared(page: Page) -> list[str]:
    """At most two cells, or 8%, are excused from comparison, and only by a tag, which can be seen and counted."""
    cells, free = page.cells("code"), excused(page)
    complaints = [f"{page.at(n)} it is excused by a comment; use the tag nbval-ignore-output."
                  for n, cell in cells if re.search(r"^\s*#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source, re.MULTILINE)]
    if len(free) > max(2, 0.08 * len(cells)):
        complaints.append(f"{page.name}: the outputs of {len(free)} of {len(cells)} code cells are not compared "
                          f"(cells {', '.join(map(str, free))}); make their outputs repeatable and remove the tags.")
    return complaints


def excuses_are_made_good(page: Page) -> list[str]:
    """After a cell that is not compared comes one that is, and asserts what the first one showed."""
    cells, complaints = page.cells("code"), []
    for (n, cell), (_, after) in zip(cells, [*cells[1:], (0, None)], strict=True):
        if "nbval-ignore-output" in tags(cell) and (
                after is None or EXCUSES & tags(after) or "assert" not in after.source):
            complaints.append(f"{page.at(n)} its output is not compared; let the next code cell, which is, assert the "
                              "claim.")
    return complaints


class Bare(ast.NodeTransformer):
    """Takes docstrings and annotations out of code: a chapter does without what utils/ needs."""

    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign) and node.value:
            return ast.Assign(targets=[node.target], value=node.value, lineno=0)
        return node


def helpers(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The functions and classes of a module, each as (name, code without docstrings and annotations).

    A function of one line is a formula, not a helper: a chapter may write it again.
    """
    for node in Bare().visit(tree).body:
        if isinstance(node, ast.ClassDef) or isinstance(node, ast.FunctionDef) and len(node.body) > 1:
            yield node.name, ast.dump(node)


@cache
def helpers_of(path: Path, root: Path) -> frozenset[tuple[str, str]]:
    if path.suffix == ".py":
        return frozenset(helpers(ast.parse(path.read_text(encoding="utf-8"))))
    return frozenset(helper for _, cell in open_page(path, root).cells("code") for helper in helpers(code_tree(cell)))


def no_copied_helpers(page: Page) -> list[str]:
    """What two notebooks need is in utils/, once."""
    others = [path for path in [*page.root.glob(NOTEBOOKS), *page.root.glob("utils/*.py")] if path != page.path]
    return [f"{page.name}: {name} is also in {other.relative_to(page.root).as_posix()}; keep it in utils/ alone, or "
            "enter it in TAUGHT_HERE_SHARED_LATER."
            for other in sorted(others)
            for name, _ in sorted(helpers_of(page.path, page.root) & helpers_of(other, page.root))
            if not {(name, page.name), (name, other.relative_to(page.root).as_posix())} & {*TAUGHT_HERE_SHARED_LATER}]


RULES: tuple[Callable[[Page], list[str]], ...] = (
    run_in_order, no_noise, errors_are_planned, saved_by_the_one_writer, no_widgets, nothing_of_this_machine,
    small_enough_for_github, long_enough_to_explain, one_title, sections_are_numbered,
    a_few_exercises, navigation_both_ways, links_lead_somewhere, maths_that_github_draws, html_that_github_draws,
    begins_with_a_seed, cells_are_short, nearly_all_compared, excuses_are_made_good, no_copied_helpers,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", sorted(ROOT.glob(NOTEBOOKS)), ids=lambda path: path.stem)
def test_notebook(path: Path, rule: Callable[[Page], list[str]]):
    complaints = rule(open_page(path, ROOT))
    assert not complaints, "\n".join(["", *complaints])


@pytest.mark.parametrize("name, notebook", TAUGHT_HERE_SHARED_LATER)
def test_what_utils_shares_is_what_the_chapter_teaches(name: str, notebook: str):
    taught = {code for known, code in helpers_of(ROOT / notebook, ROOT) if known == name}
    shared = {code for path in ROOT.glob("utils/*.py") for known, code in helpers_of(path, ROOT) if known == name}
    assert taught and taught == shared, f"{name} in {notebook} and in utils/ differ: make them equal"


# ------------------------------------------------------------------------------------------------ the whole course
def whole_course_compared(root: Path) -> list[str]:
    """At least 95% of the course's code cells are compared."""
    course = pages(root)
    cells, free = sum(len(p.cells("code")) for p in course), sum(len(excused(p)) for p in course)
    return [f"The outputs of {free} of {cells} code cells are not compared, more than 5%; make outputs repeatable and "
            "remove tags."] if free > 0.05 * cells else []


def contents_are_complete(root: Path) -> list[str]:
    """The contents page lists every notebook, and nothing else."""
    contents = root / "notebooks" / "README.md"
    listed = re.findall(r"\]\(([^)#]+\.ipynb)", contents.read_text(encoding="utf-8"))
    there = [page.path.relative_to(contents.parent).as_posix() for page in pages(root)]
    return [f"notebooks/README.md does not list {name}; add a link." for name in there if name not in listed] + [
        f"notebooks/README.md lists {name}, which does not exist; remove it."
        for name in listed if not (contents.parent / name).exists()]


@pytest.mark.parametrize("rule", [whole_course_compared, contents_are_complete], ids=lambda rule: rule.__name__)
def test_course(rule: Callable[[Path], list[str]]):
    complaints = rule(ROOT)
    assert not complaints, "\n".join(["", *complaints])


@pytest.mark.parametrize("name", ["README.md", "notebooks/README.md", "notebooks/API_INDEX.md", "data/README.md"])
def test_links_of_markdown_files(name: str):
    path = ROOT / name
    complaints = link_complaints(f"{name}:", without_code(path.read_text(encoding="utf-8")), path, ROOT)
    assert not complaints, "\n".join(["", *complaints])


def test_api_index_is_current():
    written = (ROOT / "notebooks" / "API_INDEX.md").read_text(encoding="utf-8")
    assert written == api_index.build(ROOT / "notebooks"), "notebooks/API_INDEX.md is stale: run `make index`."


def test_code_style():
    ruff = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "notebooks", "utils", "tests", "tools"],
                          cwd=ROOT, capture_output=True, text=True)
    assert ruff.returncode == 0, ruff.stdout + ruff.stderr


# ------------------------------------------------------------------------------------------------ the rules themselves
GOOD = "notebooks/week1/02_second.ipynb"
NEIGHBOURS = {"notebooks/week1/01_first.ipynb": "# 01 First · 一", "notebooks/week2/06_third.ipynb": "# 06 Third · 三"}
NAVIGATION = "[← 01 First](01_first.ipynb) · [Contents](../README.md) · [06 Third →](../week2/06_third.ipynb)"
HELPER = 'def double(x):\n    """What it says does not matter."""\n    y = x + x\n    return y'


def printed(text: str) -> list[NotebookNode]:
    return [v4.new_output("stream", name="stdout", text=text)]


def good_notebook() -> NotebookNode:
    """A small notebook that breaks no rule."""
    code = v4.new_code_cell
    cells = [
        v4.new_markdown_cell(f"# 02 Second · 二\n\n{NAVIGATION}"),
        code("import torch\n\nfrom utils import set_seed\n\nset_seed(0)"),
        v4.new_markdown_cell("## 2.1 `nn.Linear` · 线性\n\n" + "word " * 800),
        code("print(torch.arange(3))", outputs=printed("tensor([0, 1, 2])\n")),
        v4.new_markdown_cell("### 2.1.1 More\n\nWhere $y$ is the result (\\$5):\n\n$$\ny = x\n$$\n\nSee [above]"
                             "(#2.1-nn.Linear-·-线性), [before](01_first.ipynb#01-First-·-一) and "
                             "[the contents](../README.md#the-course--课程).\n\n```\n# $ no heading\n```"),
        code("print(torch.__version__)", outputs=printed("2.15.0\n"), metadata={"tags": ["nbval-ignore-output"]}),
        code("assert torch.__version__ >= '2'"),
        code("1 / 0", metadata={"tags": ["raises-exception"]}, outputs=[
            v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=["In[5]"])]),
        v4.new_markdown_cell("## Summary\n\nAll.\n\n## Exercises · 练习\n\n1. One\n2. Two\n3. Three\n\n"
                             f"## References\n\nA. Author. A title. 2020.\n\n{NAVIGATION}"),
    ]
    for count, cell in enumerate([cell for cell in cells if cell.cell_type == "code"], 1):
        cell.execution_count = count
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return v4.new_notebook(cells=cells)


def make_course(root: Path, change: Callable[[NotebookNode], object] = lambda notebook: None) -> Page:
    """Writes a course of three notebooks and gives the middle one, with a change made to it."""
    for name, heading in NEIGHBOURS.items():
        cells = [v4.new_markdown_cell(heading), v4.new_code_cell(HELPER, execution_count=1)]
        run.write(v4.new_notebook(cells=cells), root / name)
    contents = "# The course · 课程\n\n" + "".join(f"[a](week{w}/{n})\n" for w, n in [
        (1, "01_first.ipynb"), (1, "02_second.ipynb"), (2, "06_third.ipynb")])
    (root / "notebooks" / "README.md").write_text(contents, encoding="utf-8")
    notebook = good_notebook()
    change(notebook)
    run.write(run.clean(notebook), root / GOOD)
    return open_page(root / GOOD, root)


def says(*replacements: str, cell: int) -> Callable[[NotebookNode], None]:
    """A change: in the source of a cell (counted from 1) the first text becomes the second."""
    def change(notebook: NotebookNode) -> None:
        old, new = replacements
        assert old in notebook.cells[cell - 1].source
        notebook.cells[cell - 1].source = notebook.cells[cell - 1].source.replace(old, new)
    return change


def adds(text: str, cell: int = 5) -> Callable[[NotebookNode], None]:
    """A change: a paragraph more in a markdown cell."""
    return lambda notebook: notebook.cells[cell - 1].update(source=f"{text}\n\n{notebook.cells[cell - 1].source}")


def shows(*outputs: NotebookNode, cell: int = 4) -> Callable[[NotebookNode], None]:
    """A change: other outputs of a code cell."""
    return lambda notebook: notebook.cells[cell - 1].update(outputs=list(outputs))


def tagged(*new: str, cells: tuple[int, ...]) -> Callable[[NotebookNode], None]:
    """A change: the tags of some cells."""
    return lambda notebook: [notebook.cells[n - 1].metadata.update(tags=list(new)) for n in cells]


def counted(count: int | None, cell: int = 4) -> Callable[[NotebookNode], None]:
    """A change: the run number of a code cell."""
    return lambda notebook: notebook.cells[cell - 1].update(execution_count=count)


def picture(kind: str, data: str) -> NotebookNode:
    return v4.new_output("display_data", data={kind: data})


BREAKS: list[tuple[Callable[[Page], list[str]], Callable[[NotebookNode], object]]] = [
    (run_in_order, counted(9)),
    (run_in_order, counted(None)),
    (run_in_order, lambda notebook: notebook.cells.insert(3, v4.new_code_cell(" "))),
    (run_in_order, lambda notebook: notebook.cells.insert(3, v4.new_markdown_cell())),
    (no_noise, shows(v4.new_output("stream", name="stderr", text="loading\n"))),
    (no_noise, shows(*printed("file.py:3: UserWarning: beta\n"))),
    (no_noise, shows(*printed(" 40%|████      | 4/10\n"))),
    (errors_are_planned, tagged(cells=(8,))),
    (errors_are_planned, shows(cell=8)),
    (nothing_of_this_machine, shows(*printed("saved in /home/me/a.pt\n"))),
    (nothing_of_this_machine, shows(*printed("C:\\Users\n"))),
    (nothing_of_this_machine, shows(*printed("<object at 0x7f12ab34cd56>\n"))),
    (nothing_of_this_machine, shows(picture("text/html", "<b>lib/site-packages/torch</b>"))),
    (nothing_of_this_machine, shows(*printed("torch 2.15.0+cpu\n"))),
    (nothing_of_this_machine, says("print(", "open('/tmp/a') and print(", cell=4)),
    (nothing_of_this_machine, adds("Look into /home/me/data.")),
    (nothing_of_this_machine, adds(f"Look into {ROOT}/data.")),
    (no_widgets, shows(picture("application/vnd.jupyter.widget-view+json", "{}"))),
    (small_enough_for_github, shows(picture("image/jpeg", "A" * MOST_BYTES))),
    (long_enough_to_explain, says("word " * 400, "", cell=3)),
    (long_enough_to_explain, adds("word " * 3000)),
    (one_title, adds("# Again")),
    (one_title, says("# 02", "# 2", cell=1)),
    (one_title, says(" · 二", "", cell=1)),
    (sections_are_numbered, adds("## 2.0 Before · 前")),
    (sections_are_numbered, adds("## 3.2 Of another chapter")),
    (sections_are_numbered, adds("### 2.2 Of another level")),
    (sections_are_numbered, says("## Summary", "**Summary**", cell=9)),
    (a_few_exercises, says("3. Three", "Three", cell=9)),
    (a_few_exercises, says("3. Three", "3. Three\n4. Four\n5. Five\n6. Six", cell=9)),
    (navigation_both_ways, says(NAVIGATION, "[Contents](../README.md)", cell=1)),
    (navigation_both_ways, says("06 Third →", "06 Next →", cell=9)),
    (links_lead_somewhere, adds("See [there](../week3/10_lenet.ipynb).")),
    (links_lead_somewhere, adds("See [there](../README.md#课程).")),
    (links_lead_somewhere, adds("See [there](#2.1-nn.linear-·-线性).")),
    (links_lead_somewhere, adds("![](../README.md)")),
    (links_lead_somewhere, adds("![A curve](missing.png)")),
    (links_lead_somewhere, adds("![A curve](attachment:missing.png)")),
    (links_lead_somewhere, adds("![A curve](https://example.org/curve.png)")),
    (maths_that_github_draws, adds("\\begin{align} y &= x \\end{align}")),
    (maths_that_github_draws, adds("Here\n$$\ny = x\n$$")),
    (maths_that_github_draws, adds("Here $$y = x$$ too")),
    (maths_that_github_draws, adds("$$\ny = x")),
    (maths_that_github_draws, adds("It costs $5.")),
    (html_that_github_draws, adds("<details>Solution</details>")),
    (begins_with_a_seed, says("set_seed(0)", "set_seed", cell=2)),
    (begins_with_a_seed, shows(*printed("cpu\n"), cell=2)),
    (cells_are_short, says("print", "#\n" * MOST_LINES + "print", cell=4)),
    (cells_are_short, says("print", "#" * MOST_COLUMNS + "#\nprint", cell=4)),
    (nearly_all_compared, tagged("nbval-skip", cells=(2, 4))),
    (nearly_all_compared, says("print", "# NBVAL_IGNORE_OUTPUT\nprint", cell=4)),
    (excuses_are_made_good, says("assert", "print", cell=7)),
    (excuses_are_made_good, tagged("nbval-ignore-output", cells=(7,))),
    (no_copied_helpers, says("print", HELPER.replace("does not matter", "differs") + "\nprint", cell=4)),
]
# Changes of the text of the file, after it was saved.
SPOILS: list[tuple[str, str]] = [
    ('"kernelspec": {', '"widgets": {},\n  "kernelspec": {'),
    ('"name": "python3"', '"name": "python311"'),
    ('"metadata": {}', '"metadata": {"collapsed": false}'),
    ('"id": "cell-3"', '"id": "cell-1"'),
    (' "nbformat": 4', '  "nbformat": 4'),
]


def complaining(page: Page) -> dict[str, list[str]]:
    """The rules that a page breaks, by name, with what they say."""
    return {rule.__name__: complaints for rule in RULES if (complaints := rule(page))}


def test_a_good_notebook_passes(tmp_path: Path):
    page = make_course(tmp_path)
    assert complaining(page) == {}
    assert contents_are_complete(tmp_path) == []


@pytest.mark.parametrize(("rule", "change"), BREAKS, ids=lambda value: value.__name__)
def test_a_bad_notebook_is_noticed(tmp_path: Path, rule: Callable, change: Callable):
    found = complaining(make_course(tmp_path, change))
    assert list(found) == [rule.__name__]
    assert all(GOOD in complaint for complaint in found[rule.__name__])


@pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId")  # it mends what the rule is to notice
@pytest.mark.parametrize(("old", "new"), SPOILS)
def test_a_file_saved_by_another_writer_is_noticed(tmp_path: Path, old: str, new: str):
    path = make_course(tmp_path).path
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert list(complaining(Page(path, nbformat.read(path, as_version=4), tmp_path))) == ["saved_by_the_one_writer"]


def test_every_rule_is_shown_to_work():
    assert {rule for rule, _ in BREAKS} | {saved_by_the_one_writer} == {*RULES}


def test_a_bad_course_is_noticed(tmp_path: Path):
    make_course(tmp_path)  # 1 of its 7 code cells is excused
    assert len(whole_course_compared(tmp_path)) == 1
    contents = tmp_path / "notebooks" / "README.md"
    contents.write_text("[a](week1/01_first.ipynb) [b](week1/02_second.ipynb) [c](week9/99_none.ipynb)")
    assert [complaint.split("; ")[0] for complaint in contents_are_complete(tmp_path)] == [
        "notebooks/README.md does not list week2/06_third.ipynb",
        "notebooks/README.md lists week9/99_none.ipynb, which does not exist",
    ]
