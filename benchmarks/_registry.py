"""Find benchmarks by file, without importing them."""

import ast
import importlib
from pathlib import Path

from benchmarks._harness import Benchmark

FOLDER = Path(__file__).parent


def names(folder: Path = FOLDER) -> tuple[str, ...]:
    """List the benchmarks in a folder: its public files, with dashes for underscores."""
    files = folder.glob("[!_]*.py")
    return tuple(sorted(file.stem.replace("_", "-") for file in files))


def about(name: str, folder: Path = FOLDER) -> str:
    """Give the first line of a benchmark's docstring, read without running the file."""
    tree = ast.parse((folder / f"{name.replace('-', '_')}.py").read_text())
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def load(name: str) -> Benchmark:
    """Import one benchmark and build its description; peers are imported later still."""
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    return module.benchmark()
