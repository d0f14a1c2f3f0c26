"""The package nir, imported when needed, and its files."""

import os
from pathlib import Path
from typing import Any

from jaxnn._files import write_whole


def package(where: str) -> Any:
    """Import nir, or say which extra brings it."""
    try:
        import nir
    except ImportError as error:
        raise ImportError(f"{where}: needs the package nir; pip install 'jaxnn[nir]'.") from error
    return nir


def read(where: str, path: str | os.PathLike[str]) -> Any:
    """Read a graph from a file, or say that it is missing or damaged."""
    nir = package(where)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{where}: there is no file {path}.")
    try:
        # Its check of shapes takes kernels for square; shapes are checked when the graph runs.
        return nir.read(path, type_check=False)
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise ValueError(
            f"{where}: {path} is no NIR graph or damaged ({type(error).__name__}: {error})."
        ) from error


def write(where: str, path: str | os.PathLike[str], graph: Any) -> None:
    """Write a graph to a file, whole or not at all."""
    nir = package(where)
    write_whole(Path(path), lambda beside: nir.write(beside, graph))
