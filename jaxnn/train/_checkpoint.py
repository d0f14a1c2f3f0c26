"""Checkpoints: Orbax's, asynchronous and atomic, with a checksum of every array.

Each holds the state, the records so far and the position in the data. What is read back is
compared with the checksums written, so a damaged checkpoint is never silently used: it is
reported and the one before it is taken.
"""

import base64
import contextlib
import dataclasses
import errno
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn._check import require_count
from jaxnn.train._state import TrainState

if TYPE_CHECKING:
    from jaxnn.train._feed import Position


class DamagedCheckpoint(Exception):
    """No checkpoint could be read back as it was written; the message names each."""


class Checkpoints:
    """The checkpoints of one run, in one folder, written by one process at a time.

    Reading changes nothing on disk, so that a run can be looked at while it is being trained.

    Args:
      folder: where they are; made at the first save.
      keep: how many of the newest to keep.

    Raises:
      ValueError: ``keep`` is not positive.
    """

    def __init__(self, folder: str | Path, *, keep: int = 3) -> None:
        require_count("Checkpoints", keep=keep)
        self.folder = Path(folder).absolute()
        self.keep = keep
        self._manager: Any = None
        self._damaged: set[int] = set()

    def steps(self) -> list[int]:
        """List the steps that have a checkpoint not known to be damaged, oldest first."""
        if not self.folder.is_dir():
            return []
        # Orbax gives a checkpoint its number for a name when it is complete.
        found = {int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()}
        return sorted(found - self._damaged)

    def discard_after(self, step: int) -> None:
        """Take those of later steps for damaged: the next save removes them."""
        self._damaged |= {found for found in self.steps() if found > step}

    def save(self, state: TrainState, position: "Position") -> None:
        """Start writing a checkpoint of ``state``; it is copied before this returns.

        Saving the same step twice keeps the first.

        Raises:
          ValueError: there is a checkpoint of a later step.
          OSError: the disk is too full for it, or this one or the one before could not be
            written; those that are complete stay as they are.
        """
        import orbax.checkpoint as ocp

        step = int(state.step)
        with self._writing():
            manager = self._open()
        steps = manager.all_steps()
        if step in steps:
            return
        if steps and max(steps) > step:
            raise ValueError(
                f"Checkpoints.save: {self.folder} has steps {sorted(steps)}, later than {step}; "
                "a run that goes back needs another folder."
            )
        arrays = _arrays(state)
        facts = {
            "position": dataclasses.asdict(
                dataclasses.replace(position, stream=_encode(position.stream))
            ),
            "checksums": {path: _checksum(leaf) for path, leaf in _leaves(arrays)},
            "shapes": _shapes(arrays),
        }
        facts = json.loads(json.dumps(facts))
        facts["checksum"] = _text_checksum(facts)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(arrays), facts=ocp.args.JsonSave(facts)
        )
        with self._writing():
            manager.wait_until_finished()
            self._require_space(step, arrays, facts)
            manager.save(step, args=args)

    def wait(self) -> None:
        """Block until every save that was started is complete on disk.

        Raises:
          OSError: one could not be written; those before stay as they are.
        """
        if self._manager is not None:
            with self._writing():
                self._manager.wait_until_finished()

    def close(self) -> None:
        """Finish all saves and release the folder.

        Raises:
          OSError: one could not be written; those before stay as they are.
        """
        manager, self._manager = self._manager, None
        if manager is not None:
            with self._writing():
                manager.close()

    def restore(
        self, state: TrainState, *, step: int | None = None
    ) -> tuple[TrainState, "Position"] | None:
        """Read the newest checkpoint that is intact.

        Damaged ones are left where they are until the next save, which removes them.

        Args:
          state: a state of the same model and optimiser, e.g. a fresh one; not consumed.
          step: read this step only.

        Returns:
          The saved state and position, or ``None`` if there is no checkpoint.

        Raises:
          ValueError: the checkpoint belongs to another model or optimiser, or ``step`` is
            not there.
          DamagedCheckpoint: none is intact.

        Warns:
          UserWarning: a checkpoint was damaged and the one before is tried.
        """
        self.wait()
        steps = self.steps()
        if step is not None:
            if step not in steps:
                raise ValueError(
                    f"Checkpoints.restore: `step` is {step}; {self.folder} has {steps}."
                )
            steps = [step]
        if not steps:
            return None
        reasons, damaged = [], set()
        for candidate in reversed(steps):
            try:
                restored = self._read(candidate, state)
            except _Foreign as error:
                raise ValueError(str(error)) from None
            except (MemoryError, PermissionError):
                raise  # says nothing about the files
            except Exception as error:  # whatever a damaged file makes its reader raise
                text = str(error).strip() or repr(error)
                line = f"{type(error).__name__}: {text.splitlines()[0]}"
                reasons.append(f"step {candidate}: {line[:200]}")
                damaged.add(candidate)
                if candidate != steps[0]:
                    warnings.warn(
                        f"checkpoint {self.folder / str(candidate)} is damaged ({line[:120]}); "
                        "using the one before",
                        stacklevel=2,
                    )
                continue
            # Training goes on from here and will write these steps anew.
            self._damaged |= damaged
            return restored
        raise DamagedCheckpoint(f"no intact checkpoint in {self.folder}: {'; '.join(reasons)}")

    def _read(self, step: int, state: TrainState) -> tuple[TrainState, "Position"]:
        import orbax.checkpoint as ocp

        from jaxnn.train._feed import Position

        folder = self.folder / str(step)
        if not ocp.path.step.is_checkpoint_finalized(folder):
            raise OSError("it was not completed")
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
            facts = reader.restore(folder / "facts")
        if facts.pop("checksum", None) != _text_checksum(facts):
            raise OSError("its facts do not have the checksum they were written with")
        wanted = _arrays(state)
        found, needed = facts["shapes"], _shapes(wanted)
        for path in sorted({*found, *needed}):
            if found.get(path) != needed.get(path):
                raise _Foreign(
                    f"Checkpoints.restore: {folder} holds {found.get(path, 'nothing')} for "
                    f"{path}; this model and optimiser need {needed.get(path, 'nothing')}. "
                    "Was the run made with other options?"
                )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, wanted)
        with ocp.StandardCheckpointer() as reader:
            arrays = reader.restore(folder / "state", abstract)
        for path, leaf in _leaves(arrays):
            if _checksum(leaf) != facts["checksums"][path]:
                raise OSError(f"{path} does not have the checksum it was written with")
        position = dict(facts["position"])
        position["stream"] = _decode(position["stream"])
        return _with_arrays(state, arrays), Position(**position)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what could not be written, and what there is; whatever Orbax and its store raise."""
        try:
            yield
        except Exception as error:
            text = (str(error).strip() or repr(error)).splitlines()[0]
            code = getattr(error, "errno", None)
            if code is None:  # the store's own kind of error
                code = errno.ENOSPC if "No space left" in text else errno.EIO
                text = os.strerror(code) if code == errno.ENOSPC else text
            reason = (getattr(error, "strerror", None) or text)[:200]
            self._manager = None  # it would raise the same again, and wait for what failed
            steps = self.steps()
            there = f"the newest complete one is step {steps[-1]}" if steps else "there is none yet"
            line = f"a checkpoint could not be written ({reason}); {there}"
            raise OSError(code, line, str(self.folder)) from error

    def _require_space(self, step: int, arrays: Any, facts: Any) -> None:
        """Refuse to begin what the disk has no room for."""
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
        # The names and shapes are written several times, into some twenty files.
        needs = size + 8 * len(json.dumps(facts)) + 2**18
        free = shutil.disk_usage(self.folder).free
        if free < needs:
            line = f"step {step} needs {needs / 1e6:.2g} MB, {free / 1e6:.2g} MB are free"
            raise OSError(errno.ENOSPC, f"no space left: {line}")

    def _open(self) -> Any:
        """Open the folder for writing, clearing what a killed process left half-written."""
        if self._damaged:
            self.close()
            for step in self._damaged:
                shutil.rmtree(self.folder / str(step), ignore_errors=True)
            self._damaged = set()
        if self._manager is None:
            import orbax.checkpoint as ocp

            options = ocp.CheckpointManagerOptions(
                preservation_policy=ocp.checkpoint_managers.LatestN(self.keep),
                create=True,
                cleanup_tmp_directories=True,
            )
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager


class _Foreign(Exception):
    """The checkpoint is intact but of another model."""


def _arrays(state: TrainState) -> dict[str, Any]:
    """Take from the state what is data; typed keys become their words."""
    tree = {
        "step": state.step,
        "params": state.params,
        "opt_state": state.opt_state,
        "key": state.key,
        "collections": state.collections,
        "ema": state.ema,
    }
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def _with_arrays(state: TrainState, arrays: dict[str, Any]) -> TrainState:
    def like(old: Any, new: jax.Array) -> jax.Array:
        # What is read back is committed to its device; computing with it would compile anew.
        if isinstance(old, jax.Array) and not old.committed:
            new = jax.device_put(np.asarray(new))
        return jax.random.wrap_key_data(new, impl=jax.random.key_impl(old)) if _is_key(old) else new

    return state.replace(
        **{name: jax.tree.map(like, getattr(state, name), new) for name, new in arrays.items()}
    )


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _leaves(tree: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Give each array whole, one at a time: a checksum must not depend on how it is split."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        here = getattr(leaf, "is_fully_addressable", True) or leaf.is_fully_replicated
        if not here:
            from jax.experimental import multihost_utils

            leaf = multihost_utils.process_allgather(leaf, tiled=True)
        yield jax.tree_util.keystr(path), np.asarray(leaf)


def _shapes(tree: Any) -> dict[str, str]:
    pairs = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p): f"{leaf.dtype}{list(leaf.shape)}" for p, leaf in pairs}


def _checksum(leaf: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)


def _text_checksum(facts: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _encode(stream: Any) -> Any:
    """Make a stream's position JSON-able."""
    if isinstance(stream, bytes):
        return {"base64": base64.b64encode(stream).decode()}
    if isinstance(stream, dict):
        return {key: _encode(value) for key, value in stream.items()}
    if isinstance(stream, list | tuple):
        return [_encode(value) for value in stream]
    return stream.item() if isinstance(stream, np.generic) else stream


def _decode(stream: Any) -> Any:
    if isinstance(stream, dict):
        if set(stream) == {"base64"}:
            return base64.b64decode(stream["base64"])
        return {key: _decode(value) for key, value in stream.items()}
    return [_decode(value) for value in stream] if isinstance(stream, list) else stream
