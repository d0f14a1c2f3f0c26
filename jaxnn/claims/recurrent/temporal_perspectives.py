"""Temporal perspectives on RWKV-4: its average over all pairs, and streams that agree.

What the paper shows by fine-tuning large pretrained models is not measured here.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.layers.recurrent import RWKVChannelMix, RWKVTimeMix, mix_perspectives, wkv

STREAMS, TIME, UNITS = 3, 12, 4


def identities(key: jax.Array) -> list[Check]:
    """Streams with the same μ give what one gives; the share of parameters that is their own."""
    x = jax.random.normal(key, (TIME, UNITS))
    streams = jnp.broadcast_to(x, (STREAMS, TIME, UNITS))
    kernel = jax.random.normal(key, (UNITS, STREAMS))
    found = []
    for name, kind in (("time", RWKVTimeMix), ("channel", RWKVChannelMix)):
        params = dict(jax.jit(kind().init)(key, x)["params"])
        want, _ = jax.jit(kind().apply)({"params": params}, x)
        same = {
            n: jnp.broadcast_to(p, (STREAMS, UNITS)) if n.endswith("mix") else p
            for n, p in params.items()
        }
        together, _ = jax.jit(kind(perspectives=STREAMS).apply)({"params": same}, streams)
        got = mix_perspectives(streams, together, kernel)
        far = jnp.abs(got - want).max() / jnp.abs(want).max()
        found.append(Check(f"{name} mixing, equal streams from one", far, "<=", 1e-6))
    # Beside one block, an embedding and a head of 256 tokens each.
    width, tokens = 512, 256
    block = 4 * width**2 + 9 * width**2 + 2 * width + 5 * width

    def count(streams):
        shape = (TIME, width) if streams is None else (streams, TIME, width)
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        kinds = (RWKVTimeMix(perspectives=streams), RWKVChannelMix(perspectives=streams))
        shapes = [jax.eval_shape(kind.init, key, x) for kind in kinds]
        return sum(p.size for p in jax.tree.leaves(shapes))

    counted = count(None)
    extra = (count(STREAMS) - counted + width * STREAMS) / (counted + 2 * tokens * width)
    return [
        *found,
        Check("parameters of a block of width 512", counted, "=", block),
        Check("own parameters of three perspectives over those of one block", extra, "<=", 0.01),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The sum over all pairs of steps in NumPy, in float64, by both methods."""
    keys = jax.random.split(key, 4)
    k, v = (jax.random.normal(one, (TIME, UNITS)) for one in keys[:2])
    w, u = jnp.exp(jax.random.normal(keys[2], (UNITS,))), jax.random.normal(keys[3], (UNITS,))
    wide = [np.asarray(a, np.float64) for a in (k, v, w, u)]
    want = np.zeros((TIME, UNITS))
    for t in range(TIME):
        weights = [np.exp(-(t - 1 - s) * wide[2] + wide[0][s]) for s in range(t)]
        weights.append(np.exp(wide[3] + wide[0][t]))
        want[t] = sum(e * wide[1][s] for s, e in enumerate(weights)) / sum(weights)
    average, found = jax.jit(wkv, static_argnames="method"), []
    for method in ("scan", "associative"):
        far = np.abs(average(k, v, w, u, method=method)[0] - want).max()
        found.append(Check(f"distance from the sum over pairs, {method}", far, "<=", 1e-5))
    return found


CLAIM = Claim(
    name="temporal-perspectives",
    title="Enhancing Transformer RNNs with Multiple Temporal Perspectives",
    year=2024,
    says="several perspectives on time share all kernels and cost few parameters of their own",
    identities=identities,
    agreements=agreements,
)
