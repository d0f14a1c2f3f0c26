"""One of the processes of a training program: ``python -m tests.train.parallel.worker FOLDER``.

With ``JAX_NUM_PROCESSES`` it joins the others; without, it trains alone on devices of its own. With
``STREAM`` each reads its share of the batches.
"""

import os
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax

from jaxnn import data, models, train
from jaxnn.train import losses, parallel

STEPS = 12


def main(folder):
    if "JAX_NUM_PROCESSES" in os.environ:
        parallel.initialize()
    mesh = parallel.make_mesh("data=4,model=2")
    layout = parallel.Layout(mesh, parallel.fully_sharded(parallel.MLP_RULES, min_size=16))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8)).astype(np.float32)
    y = rng.integers(0, 4, 64).astype(np.int32)
    state = train.create_state(
        models.MLP((16, 4), dropout_rate=0.1),
        optax.adam(1e-2),
        x[:1],
        key=jax.random.key(0),
        layout=layout,
    )
    checkpoints = train.Checkpoints(folder / "checkpoints")
    restored = checkpoints.restore(state)
    state, position = restored or (state, train.Position())
    print("from", int(state.step), flush=True)
    slow = "SLOW" in os.environ

    def report(record):
        print("at", record["step"], flush=True)
        if slow:
            time.sleep(0.5)

    source, batch_size = (x, y), 16
    if "STREAM" in os.environ:
        shares = {"process_index": jax.process_index(), "process_count": jax.process_count()}
        source = data.grain_loader(data.Split(x, y), batch_size=batch_size, seed=0, **shares)
        batch_size = None
    if int(state.step) < STEPS:
        state, _ = train.fit(
            state,
            train.make_step(losses.cross_entropy),
            source,
            steps=STEPS,
            batch_size=batch_size,
            record_every=1,
            checkpoints=checkpoints,
            checkpoint_every=2,
            position=position,
            on_record=[report],
        )
    checkpoints.close()
    whole = jax.jit(lambda tree: tree, out_shardings=layout.replicated)(state.params)
    if jax.process_index() == 0:
        flat = jax.tree_util.tree_leaves_with_path(whole)
        arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in flat}
        np.savez(folder / "params.npz", **arrays)
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
