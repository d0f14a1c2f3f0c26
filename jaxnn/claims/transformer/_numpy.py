"""What the claims on published families do alike: random parameters, and NumPy's side.

Logits equal to those of the hub's library, for each family, are held in the presets' own tests;
the claims compare with the papers' formulas written here, in float64 and in loops.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

TOKENS = jax.ShapeDtypeStruct((1, 2), jnp.int32)


def count(model: Any) -> int:
    """Count a language model's parameters, of which none is made."""
    made = jax.eval_shape(model.init, jax.random.key(0), TOKENS)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(made["params"]))


def draw(model: Any, rng: np.random.Generator, inputs: Any = TOKENS) -> Any:
    """Draw a model's parameters, all of which matter; nothing is compiled for it."""
    made = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]

    def one(path, leaf):
        size = leaf.shape[0] ** -0.5 if leaf.ndim == 2 else 0.3
        start = 1.0 if path[-1].key == "scale" else 0.0
        return jnp.asarray(start + size * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(one, made)


def wide(params: Any) -> Any:
    """Give parameters as NumPy's float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


def affine(x: np.ndarray, p: Any) -> np.ndarray:
    """Apply a map of the last axis, with a bias if there is one."""
    return x @ p["kernel"] + p.get("bias", 0.0)


def layer_norm(x: np.ndarray, p: Any, epsilon: float = 1e-5) -> np.ndarray:
    """Shift rows to mean 0, scale them to variance 1, then as the parameters say."""
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * p["scale"] + p["bias"]


def rms_norm(x: np.ndarray, p: Any, epsilon: float = 1e-6) -> np.ndarray:
    """Scale rows to mean square 1, then as the parameter says."""
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * p["scale"]


def turn(x: np.ndarray, base: float, width: int) -> np.ndarray:
    """Turn the first ``width`` features of ``(time, heads, features)``, as complex numbers."""
    half = width // 2
    angles = np.arange(len(x))[:, None] * base ** (-np.arange(half) / half)
    turned = (x[..., :half] + 1j * x[..., half:width]) * np.exp(1j * angles)[:, None]
    return np.concatenate([turned.real, turned.imag, x[..., width:]], axis=-1)


def attend(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    scale: float | None = None,
    slopes: np.ndarray | None = None,
    window: int | None = None,
    cap: float | None = None,
) -> np.ndarray:
    """Attend causally, ``(time, heads, width)``, one query of one head at a time."""
    time, heads, width = q.shape
    shared = heads // k.shape[1]
    out = np.zeros(q.shape)
    for i, h in np.ndindex(time, heads):
        seen = range(0 if window is None else max(0, i - window + 1), i + 1)
        logits = k[seen, h // shared] @ q[i, h] * (width**-0.5 if scale is None else scale)
        if cap is not None:
            logits = cap * np.tanh(logits / cap)
        if slopes is not None:
            logits = logits - slopes[h] * (i - np.asarray(seen))
        powers = np.exp(logits)
        out[i, h] = powers @ v[seen, h // shared] / powers.sum()
    return out.reshape(time, -1)


def heads(x: np.ndarray, p: Any, width: int) -> np.ndarray:
    """Project ``(time, features)`` to ``(time, heads, width)``."""
    y = affine(x, p)
    return y.reshape(len(y), -1, width)


def relative(got: Any, want: Any) -> float:
    """Give the largest difference over the largest value."""
    want = np.asarray(want, np.float64)
    return float(np.max(np.abs(np.asarray(got, np.float64) - want)) / np.max(np.abs(want)))
