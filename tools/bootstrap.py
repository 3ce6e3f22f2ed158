"""Makes .venv ready: the virtual environment with exactly the packages of requirements.txt.

    python3 tools/bootstrap.py            the pinned versions (what every make target calls first)
    python3 tools/bootstrap.py --newest   the newest releases that pyproject.toml allows

It runs on the plain system Python, so it imports the standard library alone, and its first lines are
written so that an old Python can still read them and say what it lacks. When nothing has changed it
returns at once. Source of the steps: the documentation of venv and of uv (`uv pip install`).
"""
import sys

if sys.version_info < (3, 11):
    sys.exit("The course needs Python 3.11 or newer, and %s is Python %d.%d: install a newer one and "
             "run `make PYTHON=/path/to/python3.12 ...`." % ((sys.executable,) + sys.version_info[:2]))

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "course-setup.txt"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
UV = "uv==0.13.9"
NEEDED_GB = 8  # the environment is about 6 GB, and unpacking it takes some more


def place() -> str:
    """Where the environment lives and with which Python: it does not survive a change of either."""
    return f"{ROOT}\nPython {sys.version}\n"


def packages(newest: bool) -> str:
    """What belongs into it: if this text is unchanged, nothing needs to be installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = "newest" if newest else (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return hashlib.sha256(f"{UV} {project['dependencies']} {pins}".encode()).hexdigest() + "\n"


def check_system() -> None:
    """Ends with one sentence if this machine cannot hold the environment."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(f"{sys.executable} cannot make virtual environments: install its venv package "
                 "(on Debian and Ubuntu: apt-get install python3-venv) and run make again.")
    if not os.access(ROOT, os.W_OK):
        sys.exit(f"The folder {ROOT} is read-only, and .venv has to be made in it: copy the course to "
                 "a folder that you may write to and run make there.")
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB and not PYTHON.exists():
        sys.exit(f"The course's environment needs {NEEDED_GB} GB, and the disk of {ROOT} has {free:.1f} GB "
                 "left: free some room and run make again.")


def run(*command: str | Path) -> None:
    """Runs one step of the set-up; its failure ends the set-up with one sentence after its own messages."""
    # Bytecode is compiled once here: otherwise every kernel compiles torch again at its start.
    environment = os.environ | {"UV_COMPILE_BYTECODE": "1", "VIRTUAL_ENV": str(VENV)}
    if subprocess.run(command, env=environment).returncode:
        sys.exit("Setting up .venv failed at the step above: check the network connection and the room on "
                 "the disk, then run make again (it goes on from here).")


def main() -> None:
    newest = "--newest" in sys.argv
    wanted = place() + packages(newest)
    made = STAMP.read_text(encoding="utf-8") if STAMP.exists() else ""
    if PYTHON.exists() and made == wanted:
        return
    check_system()
    print("Setting up .venv (about 6 GB; a minute or two the first time) ...", flush=True)
    if made and not made.startswith(place()):
        shutil.rmtree(VENV)
    run(sys.executable, "-m", "venv", VENV)
    run(PYTHON, "-m", "pip", "install", "--quiet", UV)
    chosen = ["--upgrade"] if newest else ["--requirement", ROOT / "requirements.txt"]
    run(PYTHON, "-m", "uv", "pip", "install", "--quiet", *chosen, "--editable", ROOT)
    STAMP.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
