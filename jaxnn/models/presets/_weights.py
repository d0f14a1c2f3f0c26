"""Files of the hub's tensors and trees of our parameters: one table says which is which.

A table is a list of entries. An entry names the tensors of a hub file and the parameters that
hold the same numbers, with the shapes of both, and carries a pair of pure functions between
them. Everything is checked against the table before a parameter is made or a byte written.
"""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from flax.core import meta
from jax.typing import DTypeLike

from jaxnn._check import describe
from jaxnn._files import write_whole
from jaxnn.models._stack import unstack_blocks

Shape = tuple[int, ...]
Arrays = tuple[np.ndarray, ...]

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclasses.dataclass(frozen=True)
class Entry:
    """Tensors of a hub file and the parameters that hold the same numbers.

    Attributes:
      tensors: names in the file, with their shapes.
      params: paths in our tree, as ``blocks_0/attention/query/kernel``, with their shapes.
      load: from the tensors, in order, to the parameters, in order.
      save: back.
      optional: whether a file, and then the tree, may lack them.
    """

    tensors: Mapping[str, Shape]
    params: Mapping[str, Shape]
    load: Callable[..., Arrays]
    save: Callable[..., Arrays]
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """What a family's files hold.

    Attributes:
      entries: all tensors and parameters.
      tied: tensors that a file may hold although they equal another: its name to the other's.
      ignored: patterns of names that a file may hold and that mean nothing here.
      prefix: what a file may add before each name, or leave out.
      renames: older names: pattern and replacement.
    """

    entries: Sequence[Entry]
    tied: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ignored: Sequence[str] = ()
    prefix: str = ""
    renames: Sequence[tuple[str, str]] = ()


def same(name: str, path: str, *shape: int, optional: bool = False) -> list[Entry]:
    """Make the entry of a tensor that is kept as it is."""
    return [Entry({name: shape}, {path: shape}, _keep, _keep, optional)]


def _keep(*arrays: np.ndarray) -> Arrays:
    return arrays


def linear(
    name: str, path: str, inputs: int, outputs: int, *, bias: bool = True, optional: bool = False
) -> list[Entry]:
    """Make the entries of an affine map, whose weights the hub keeps as (outputs, inputs)."""
    return fused_linear(name, [path], inputs, [outputs], bias=bias, optional=optional)


def fused_linear(
    name: str,
    paths: Sequence[str],
    inputs: int,
    outputs: Sequence[int],
    *,
    groups: int = 1,
    bias: bool = True,
    optional: bool = False,
) -> list[Entry]:
    """Make the entries of an affine map that is several of ours, their rows stacked.

    With ``groups``, each has that many runs of rows, and the first runs of all of them come
    first, as in ``query_key_value`` of BLOOM and GPT-NeoX, where a head's rows are together.
    """
    shares = [size // groups for size in outputs]
    cuts = np.cumsum(shares)[:-1].tolist()

    def split(x: np.ndarray) -> Arrays:
        runs = x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
        parts = np.split(runs, cuts, axis=1)
        return tuple(part.reshape(-1, *x.shape[1:]) for part in parts)

    def join(*parts: np.ndarray) -> Arrays:
        runs = [
            part.reshape(groups, share, *part.shape[1:])
            for part, share in zip(parts, shares, strict=True)
        ]
        joined = np.concatenate(runs, axis=1)
        return (joined.reshape(-1, *joined.shape[2:]),)

    entries = [
        Entry(
            {f"{name}.weight": (sum(outputs), inputs)},
            {f"{p}/kernel": (inputs, size) for p, size in zip(paths, outputs, strict=True)},
            lambda x: tuple(part.T for part in split(x)),
            lambda *kernels: join(*(kernel.T for kernel in kernels)),
            optional,
        )
    ]
    if bias:
        named = {f"{p}/bias": (size,) for p, size in zip(paths, outputs, strict=True)}
        entries += [Entry({f"{name}.bias": (sum(outputs),)}, named, split, join, optional)]
    return entries


def norm(name: str, path: str, features: int, *, bias: bool = False) -> list[Entry]:
    """Make the entries of a normalisation."""
    entries = same(f"{name}.weight", f"{path}/scale", features)
    return entries + same(f"{name}.bias", f"{path}/bias", features) if bias else entries


@dataclasses.dataclass(frozen=True)
class _Found:
    """Where a tensor of the table is: file, the name it has there, shape, kind of number."""

    file: Path
    name: str
    shape: Shape
    dtype: str


def read_tensors(
    where: str, table: Table, path: str | os.PathLike[str], dtype: DTypeLike | None
) -> dict[str, Any]:
    """Read the parameters from a file, or a folder with one or several.

    Raises:
      ValueError: a tensor is missing, has another shape, is not of the table or not of
        floating-point numbers, or a file is not whole.
    """
    files = _files(where, Path(path))
    found = _find(where, table, files)
    entries = _check_found(where, table, files, found)
    with contextlib.ExitStack() as stack:
        handles: dict[Path, Any] = {file: stack.enter_context(_open(where, file)) for file in files}

        def get(name: str) -> np.ndarray:
            at = found[name]
            return handles[at.file].get_tensor(at.name)

        for copy, name in table.tied.items():
            if copy in found and name in found and not _equal(get(copy), get(name)):
                raise ValueError(
                    f"{where}: file {str(found[copy].file)!r} holds tensor {copy!r} with other "
                    f"numbers than {name!r}, but this configuration ties them. Is "
                    f"`tie_word_embeddings` False?"
                )
        flat: dict[str, jax.Array] = {}
        for entry in entries:
            arrays = entry.load(*(get(name) for name in entry.tensors))
            for (ours, shape), array in zip(entry.params.items(), arrays, strict=True):
                assert array.shape == shape, ours
                kind = array.dtype if dtype is None else jnp.dtype(dtype)
                flat[ours] = jnp.asarray(array, jax.dtypes.canonicalize_dtype(kind))
    return traverse_util.unflatten_dict(flat, sep="/")


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _files(where: str, path: Path) -> list[Path]:
    """List the files that a path stands for: itself, a folder's one file, or its shards."""
    if path.is_dir() and (path / FILE).exists():
        return [path / FILE]
    if path.is_dir() and (path / INDEX).exists():
        path = path / INDEX
    if not path.is_file():
        what = f"no {FILE} or {INDEX}" if path.is_dir() else "no such file"
        raise ValueError(f"{where}: `path` is {str(path)!r}, where there is {what}.")
    if path.suffix != ".json":
        return [path]
    try:
        shards = json.loads(path.read_text())["weight_map"]
        files = sorted({path.parent / shard for shard in shards.values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{where}: file {str(path)!r} is not an index of shards: it needs a `weight_map`."
        ) from error
    for name, shard in shards.items():
        file = path.parent / shard
        if not file.is_file():
            raise ValueError(
                f"{where}: file {str(file)!r}, which {path.name!r} says holds tensor {name!r}, "
                "is not there."
            )
    return files


def _open(where: str, file: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="np")
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{where}: file {str(file)!r} is not a whole safetensors file: {error}."
        ) from error


def _find(where: str, table: Table, files: Iterable[Path]) -> dict[str, _Found]:
    """Say where each tensor of the table is, and refuse those it has no place for."""
    known = {name for entry in table.entries for name in entry.tensors} | set(table.tied)
    found: dict[str, _Found] = {}
    for file in files:
        with _open(where, file) as handle:
            for name in handle.keys():  # noqa: SIM118 (not a mapping)
                part = handle.get_slice(name)
                at = _Found(file, name, tuple(part.get_shape()), part.get_dtype())
                ours = _known_name(name, known, table)
                if ours is None:
                    raise ValueError(
                        f"{where}: file {str(file)!r} holds tensor {name!r} of shape {at.shape}, "
                        "which this configuration has no place for."
                    )
                if ours in found:
                    raise ValueError(
                        f"{where}: file {str(file)!r} holds tensor {name!r}, which is "
                        f"{found[ours].name!r} of {found[ours].file.name!r} once more."
                    )
                if ours:
                    found[ours] = at
    return found


def _known_name(name: str, known: set[str], table: Table) -> str | None:
    """Give a tensor's name in the table, nothing if it means nothing, ``None`` if unknown."""
    plain = name
    for pattern, replacement in table.renames:
        plain = re.sub(pattern, replacement, plain)
    for candidate in (plain, table.prefix + plain, plain.removeprefix(table.prefix)):
        if candidate in known:
            return candidate
    return "" if any(re.search(pattern, name) for pattern in table.ignored) else None


def _check_found(
    where: str, table: Table, files: Sequence[Path], found: Mapping[str, _Found]
) -> list[Entry]:
    """Hold what was found against the table, and give the entries that are there."""
    entries, missing = [], []
    for entry in table.entries:
        absent = [name for name in entry.tensors if name not in found]
        if not absent:
            entries.append(entry)
        elif not (entry.optional and len(absent) == len(entry.tensors)):
            missing += [(name, entry.tensors[name]) for name in absent]
        for name in entry.tensors.keys() & found.keys():
            at, shape = found[name], entry.tensors[name]
            if at.shape != shape:
                raise ValueError(
                    f"{where}: file {str(at.file)!r} holds tensor {at.name!r} of shape {at.shape}; "
                    f"this configuration needs {shape}."
                )
            if at.dtype not in ("F64", "F32", "F16", "BF16"):
                raise ValueError(
                    f"{where}: file {str(at.file)!r} holds tensor {at.name!r} as {at.dtype}; it "
                    "needs floating-point numbers of at least 16 bits."
                )
    if missing:
        (name, shape), more = missing[0], len(missing) - 1
        lacking = f"{where}: file {str(files[0])!r}"
        lacking += f" and {len(files) - 1} more lack" if len(files) > 1 else " lacks"
        raise ValueError(
            f"{lacking} tensor {name!r} of shape {shape}"
            + (f" and {more} more." * (more > 0) or ".")
        )
    return entries


def write_tensors(
    where: str,
    table: Table,
    params: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    dtype: DTypeLike | None,
    overwrite: bool,
) -> Path:
    """Write the parameters as one file, all of it or none; give its path.

    Raises:
      ValueError: a parameter is missing, unknown or has another shape.
      FileExistsError: there is such a file, and ``overwrite`` is False.
    """
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    flat = _flatten(params)
    for entry in _check_params(where, table, flat):
        arrays = entry.save(*(np.asarray(flat[ours]) for ours in entry.params))
        for (name, shape), array in zip(entry.tensors.items(), arrays, strict=True):
            assert array.shape == shape, name
            kind = array.dtype if dtype is None else jnp.dtype(dtype)
            tensors[name] = np.ascontiguousarray(array, kind)
    file = Path(path)
    if file.is_dir() or file.suffix != ".safetensors":
        file = file / FILE
    # What other readers ask for before they believe a file: whose layout it has.
    write_new(where, file, lambda to: save_file(tensors, to, {"format": "pt"}), overwrite)
    return file


def write_new(where: str, file: Path, write: Callable[[Path], object], overwrite: bool) -> None:
    """Write a file whole, and over another only if told so."""
    if file.exists() and not overwrite:
        raise FileExistsError(
            f"{where}: file {str(file)!r} is there; it needs `overwrite=True` to be replaced."
        )
    write_whole(file, write)


def _flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Give each parameter by its path, those of blocks in one scan block by block."""
    return traverse_util.flatten_dict(_unstack(dict(meta.unbox(params))), sep="/")


def _unstack(tree: dict[str, Any]) -> dict[str, Any]:
    tree = {k: _unstack(dict(v)) if isinstance(v, Mapping) else v for k, v in tree.items()}
    return unstack_blocks(tree) if "blocks" in tree else tree


def _check_params(where: str, table: Table, flat: Mapping[str, Any]) -> list[Entry]:
    """Hold the parameters against the table, and give the entries that are there."""
    entries, rest = [], dict(flat)
    for entry in table.entries:
        absent = [ours for ours in entry.params if ours not in flat]
        if absent and entry.optional and len(absent) == len(entry.params):
            continue
        for ours, shape in entry.params.items():
            if ours not in flat:
                raise ValueError(
                    f"{where}: `params` lacks {ours!r} of shape {shape}, which this configuration "
                    "needs."
                )
            got = rest.pop(ours)
            if np.shape(got) != shape:
                raise ValueError(
                    f"{where}: `params` holds {ours!r} as {describe(got)}; this configuration "
                    f"needs shape {shape}."
                )
        entries.append(entry)
    if rest:
        ours = min(rest)
        raise ValueError(
            f"{where}: `params` holds {ours!r} of shape {np.shape(rest[ours])}, which this "
            "configuration has no place for."
        )
    return entries
