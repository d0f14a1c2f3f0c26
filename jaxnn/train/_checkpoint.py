"""Checkpoints: Orbax's, asynchronous and atomic, with a checksum of every array.

Each holds the state, the records so far and the position in the data. What is read back is
compared with the checksums written, so a damaged checkpoint is never silently used: it is
reported and the one before it is taken.
"""

import base64
import dataclasses
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn._check import require_positive
from jaxnn.train._state import TrainState

if TYPE_CHECKING:
    from jaxnn.train._fit import Position


class DamagedCheckpoint(Exception):
    """No checkpoint could be read back as it was written; the message names each."""


class Checkpoints:
    """The checkpoints of one run, in one folder.

    Args:
      folder: where they are; made at the first save.
      keep: how many of the newest to keep.

    Raises:
      ValueError: ``keep`` is not positive.
    """

    def __init__(self, folder: str | Path, *, keep: int = 3) -> None:
        require_positive("Checkpoints", keep=keep)
        self.folder = Path(folder).absolute()
        self.keep = keep
        self._manager: Any = None

    def steps(self) -> list[int]:
        """List the steps that have a complete checkpoint, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(self._open().all_steps())

    def save(self, state: TrainState, position: "Position") -> None:
        """Start writing a checkpoint of ``state``; it is copied before this returns.

        Saving the same step twice keeps the first.
        """
        import orbax.checkpoint as ocp

        step = int(state.step)
        manager = self._open()
        if step in manager.all_steps():
            return
        arrays = _arrays(state)
        facts = {
            "position": dataclasses.asdict(position) | {"stream": _encode(position.stream)},
            "checksums": {path: zlib.crc32(leaf.tobytes()) for path, leaf in _leaves(arrays)},
            "shapes": _shapes(arrays),
        }
        manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(arrays), facts=ocp.args.JsonSave(facts)
            ),
        )

    def wait(self) -> None:
        """Block until every save that was started is complete on disk."""
        if self._manager is not None:
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Finish all saves and release the folder."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def restore(
        self, state: TrainState, *, step: int | None = None
    ) -> tuple[TrainState, "Position"] | None:
        """Read the newest checkpoint that is intact.

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
        steps = self.steps()
        if step is not None:
            if step not in steps:
                raise ValueError(
                    f"Checkpoints.restore: `step` is {step}; {self.folder} has {steps}."
                )
            steps = [step]
        if not steps:
            return None
        reasons = []
        for candidate in reversed(steps):
            try:
                restored = self._read(candidate, state)
            except _Foreign as error:
                raise ValueError(str(error)) from None
            except Exception as error:  # whatever a damaged file makes its reader raise
                line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
                reasons.append(f"step {candidate}: {line[:200]}")
                if candidate != steps[0]:
                    warnings.warn(
                        f"checkpoint {self.folder / str(candidate)} is damaged ({line[:120]}); "
                        "using the one before",
                        stacklevel=2,
                    )
                continue
            if reasons:
                # Training goes on from here and will write these steps anew.
                for damaged in [s for s in self.steps() if s > candidate]:
                    self._open().delete(damaged)
            return restored
        raise DamagedCheckpoint(f"no intact checkpoint in {self.folder}: {'; '.join(reasons)}")

    def _read(self, step: int, state: TrainState) -> tuple[TrainState, "Position"]:
        import orbax.checkpoint as ocp

        from jaxnn.train._fit import Position

        manager = self._open()
        facts = manager.restore(step, args=ocp.args.Composite(facts=ocp.args.JsonRestore())).facts
        wanted = _arrays(state)
        for path, shape in _shapes(wanted).items():
            found = facts["shapes"].get(path, "nothing")
            if found != shape:
                raise _Foreign(
                    f"Checkpoints.restore: {self.folder / str(step)} holds {found} for {path}; "
                    f"this model and optimiser need {shape}. Was the run made with other options?"
                )
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, wanted)
        arrays = manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
        ).state
        for path, leaf in _leaves(arrays):
            if zlib.crc32(leaf.tobytes()) != facts["checksums"][path]:
                raise OSError(f"{path} does not have the checksum it was written with")
        position = dict(facts["position"])
        position["stream"] = _decode(position["stream"])
        return _with_arrays(state, arrays), Position(**position)

    def _open(self) -> Any:
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
    """Take from the state what is data; a typed key becomes its words."""
    typed = jnp.issubdtype(state.key.dtype, jax.dtypes.prng_key)
    return {
        "step": state.step,
        "params": state.params,
        "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key) if typed else state.key,
        "collections": state.collections,
        "ema": state.ema,
    }


def _with_arrays(state: TrainState, arrays: dict[str, Any]) -> TrainState:
    key = arrays["key"]
    if jnp.issubdtype(state.key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key, impl=jax.random.key_impl(state.key))
    return state.replace(**(arrays | {"key": key}))


def _leaves(tree: Any) -> list[tuple[str, np.ndarray]]:
    pairs = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in pairs]


def _shapes(tree: Any) -> dict[str, str]:
    pairs = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p): f"{leaf.dtype}{list(leaf.shape)}" for p, leaf in pairs}


def _encode(stream: Any) -> Any:
    if isinstance(stream, bytes):
        return {"base64": base64.b64encode(stream).decode()}
    return stream


def _decode(stream: Any) -> Any:
    if isinstance(stream, dict) and set(stream) == {"base64"}:
        return base64.b64decode(stream["base64"])
    return stream
