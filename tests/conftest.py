"""Lets the tests import tools/ (`from tools import run`), which is no installed package."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
