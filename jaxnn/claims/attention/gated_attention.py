r"""Gated attention: no gate at large bias, the paper's formula, sinks and loss beside softmax's.

Head h gives σ(x W_h + b_h) ⊙ softmax(...) v instead of softmax(...) v, x being what the queries
are made of. A head that has nothing to say closes its gate, and needs no key to look at instead.

On the backcopy task softmax models form sinks, of 0.28 to 0.32 on seed 0, and a gate lowers the
loss and the largest activation (to 0.77), but the sink only to 0.85 of theirs, where 0.7 is asked:
heads that could close their gate look at the start token nevertheless. The check on it fails.
Eight heads were chosen because softmax alone formed sinks from all keys tried with them. Other
settings missed the bound too: 1.1 with four heads, 1.3 with these and four times the steps, 1.5
with two and 2.2 with one at a larger rate, 0.84 with rotary positions and a gate for each of two.
On text, where sinks hardly form, it was
1.0, and the loss was the same to 0.0005 nats.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.tree_util import Partial

from jaxnn.claims import Check, Claim
from jaxnn.claims.attention._sinks import SINK, compare_on_backcopy
from jaxnn.layers.attention import MultiHeadAttention

HEADS, WIDTH = 2, 8


def _gate(params: dict, kernel: jax.Array, bias: float) -> dict:
    """Set the gate of a module's parameters."""
    return {**params, "gate": {"kernel": kernel, "bias": jnp.full(kernel.shape[1], bias)}}


def identities(key: jax.Array) -> list[Check]:
    """A gate that is open, one that is shut, and one for a head against one for an element."""
    x = jax.random.normal(key, (2, 5, WIDTH))
    plain = MultiHeadAttention(HEADS)
    params = dict(jax.jit(plain.init)(key, x)["params"])
    heads = jax.random.normal(key, (WIDTH, HEADS))
    elements = jnp.repeat(heads, WIDTH // HEADS, axis=1)
    by_head, by_element = (MultiHeadAttention(HEADS, gate=kind) for kind in ("head", "element"))
    zeros = jnp.zeros_like(elements)

    @jax.jit
    def outputs(params):
        variables = [
            _gate(params, zeros, 20.0), _gate(params, zeros, -20.0), _gate(params, elements, 0.3)
        ]  # fmt: skip
        gated = [by_element.apply({"params": v}, x) for v in variables]
        same = by_head.apply({"params": _gate(params, heads, 0.3)}, x)
        return plain.apply({"params": params}, x), *gated, same

    ungated, opened, shut, element, head = map(np.asarray, outputs(params))
    return [
        Check("bias +20: distance from no gate", np.abs(opened - ungated).max(), "<=", 1e-5),
        Check("bias -20: largest output", np.abs(shut).max(), "<=", 1e-5),
        Check("head's gate repeated over its elements", np.abs(head - element).max(), "<=", 1e-5),
        Check("a gate that is neither: distance", np.abs(head - ungated).max(), ">=", 1e-2),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Flax's module where the gate is open, and the paper's formula in NumPy where it is not."""
    x_key, key = jax.random.split(key)
    x = jax.random.normal(x_key, (2, 5, WIDTH))
    theirs = nn.MultiHeadDotProductAttention(HEADS)
    weights = jax.jit(theirs.init)(key, x)["params"]
    joined = {
        name: {
            "kernel": p["kernel"].reshape(WIDTH, WIDTH),
            "bias": 0.1 * jax.random.normal(k, (WIDTH,)),
        }
        for k, (name, p) in zip(jax.random.split(key, 4), weights.items(), strict=True)
    }
    split = {
        name: {
            "kernel": p["kernel"].reshape(weights[name]["kernel"].shape),
            "bias": p["bias"].reshape(weights[name]["bias"].shape),
        }
        for name, p in joined.items()
    }
    ours = MultiHeadAttention(HEADS, gate="element")
    kernel = jax.random.normal(key, (WIDTH, WIDTH))
    apply = jax.jit(lambda params: ours.apply({"params": params}, x))
    opened = apply(_gate(joined, jnp.zeros_like(kernel), 20.0))
    flax = jax.jit(lambda params: theirs.apply({"params": params}, x))(split)
    got = apply(_gate(joined, kernel, -0.5))
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), joined)
    x64, want = np.asarray(x, np.float64), np.zeros((2, 5, WIDTH))
    for b, h in np.ndindex(2, HEADS):
        part = slice(h * WIDTH // HEADS, (h + 1) * WIDTH // HEADS)
        q, k, v = (
            x64[b] @ p[n]["kernel"][:, part] + p[n]["bias"][part] for n in ("query", "key", "value")
        )
        powers = np.exp(q @ k.T / np.sqrt(WIDTH // HEADS))
        gate = 1 / (1 + np.exp(-(x64[b] @ np.asarray(kernel, np.float64)[:, part] - 0.5)))
        y = gate * (powers / powers.sum(axis=1, keepdims=True) @ v)
        want[b] += y @ p["out"]["kernel"][part]
    want += p["out"]["bias"]
    return [
        Check("bias +20: distance from flax", np.abs(opened - flax).max(), "<=", 1e-5),
        Check("distance from NumPy", np.abs(got - want).max(), "<=", 1e-5),
    ]


class GatedAnywhere(MultiHeadAttention):
    """Multi-head attention with a gate at some of the paper's places G1 ... G5, elementwise.

    All have a gate's parameters everywhere, so that which of them count may be traced.

    Attributes:
      places: whether what attention gives, values, keys, queries and the last projection's
        outputs are gated, ``(5,)``.
    """

    places: jax.Array = dataclasses.field(kw_only=True)

    @nn.compact
    def __call__(self, x: jax.Array, *args: Any, **options: Any) -> jax.Array:
        """Attend, and gate what comes out at G5."""
        return self._gated(4, super().__call__(x, *args, **options), x)

    def _gate(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.where(self.places[0], super()._gate(x, y), 1)

    def _prepare(
        self, name: str, heads: jax.Array, x: jax.Array, positions: jax.Array
    ) -> jax.Array:
        del positions
        return self._gated(1 + ("value", "key", "query").index(name), heads, x)

    def _gated(self, place: int, y: jax.Array, x: jax.Array) -> jax.Array:
        width = math.prod(y.shape[x.ndim - 1 :])
        logits = self._dense(width, f"gate_{place + 1}", use_bias=True)(x)
        return y * jnp.where(self.places[place], jax.nn.sigmoid(logits.reshape(y.shape)), 1)


def effects(key: jax.Array) -> list[Check]:
    """Loss, sinks and largest activation on the backcopy task, for gates in five places."""
    module = functools.partial(GatedAnywhere, gate="element")
    places = {"plain": jnp.zeros(5, bool)}
    places |= {f"G{i + 1}": jnp.arange(5) == i for i in range(5)}
    found = compare_on_backcopy(key, {n: Partial(module, places=p) for n, p in places.items()})
    mean = {name: {m: x.mean() for m, x in row.items()} for name, row in found.items()}
    plain, gated, last = mean["plain"], mean["G1"], mean["G5"]
    others = [mean[f"G{i}"] for i in range(2, 6)]
    return [
        Check("plain: least sink of the seeds", found["plain"]["sink"].min(), ">=", SINK),
        Check("plain: loss above the least possible", plain["excess"], "<=", 0.05),
        Check("loss above ungated, nats a symbol", gated["loss"] - plain["loss"], "<=", 0.0),
        Check("sink over ungated", gated["sink"] / plain["sink"], "<=", 0.7),
        Check("largest activation over ungated", gated["norm"] / plain["norm"], "<", 1.0),
        Check(
            "loss above the best of the other places, nats",
            gated["loss"] - min(row["loss"] for row in others),
            "<=",
            0.01,
        ),
        Check(
            "sink over the least of the other places",
            gated["sink"] / min(row["sink"] for row in others),
            "<=",
            1.0,
        ),
        Check("G5: sink over ungated", last["sink"] / plain["sink"], ">=", 0.7),
    ]


CLAIM = Claim(
    name="gated-attention",
    title=(
        "Gated Attention for Large Language Models: Non-linearity, Sparsity, and "
        "Attention-Sink-Free"
    ),
    year=2025,
    says="a sigmoid gate on each head's output lowers the loss and takes away attention sinks",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
