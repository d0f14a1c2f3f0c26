"""Softmax-free attention: exact with all keys as landmarks, linear cost, NumPy's pseudo-inverse."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.layers.attention import (
    dot_product_attention,
    newton_inverse,
    softmax_free_attention,
)

LENGTH, WIDTH = 64, 8
CLUSTERS, TOKENS, DRAWS = 16, 256, 4


def identities(key: jax.Array) -> list[Check]:
    """The Gaussian kernel in full, and how the operations grow with the sequence."""
    x, value = _arrays(key)
    whole = np.asarray(_attend(x, x, value, num_landmarks=LENGTH))
    dense = _kernel(_rows(x), _rows(x)) @ _rows(value)
    ours = _operations(softmax_free_attention, 2048) / _operations(softmax_free_attention, 512)
    softmax = _operations(dot_product_attention, 2048) / _operations(dot_product_attention, 512)
    return [
        Check("distance from the dense kernel, 64 landmarks of 64", _off(whole, dense), "<=", 1e-3),
        # Four times the tokens: the landmarks' own matrix costs the same as before.
        Check("growth of operations from 512 to 2,048 tokens, 49 landmarks", ours, "<=", 4.0),
        Check("the same of softmax attention", softmax, ">=", 15.0),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """NumPy's pseudo-inverse, autodiff through an inverse, and scikit-learn's Nyström map."""
    from sklearn.kernel_approximation import Nystroem

    array_key, toward_key = jax.random.split(key)
    x, value = _arrays(array_key)
    landmarks = _rows(x).reshape(8, -1, WIDTH).mean(1)
    kernel = jnp.asarray(_kernel(landmarks, landmarks), jnp.float32)
    toward = jax.random.normal(toward_key, kernel.shape)

    @jax.jit
    def pull(kernel):
        values, back = jax.vjp(newton_inverse, kernel)
        _, back_through = jax.vjp(jnp.linalg.inv, kernel)
        return values, back(toward)[0], back_through(toward)[0]

    inverse, ours, through = pull(kernel)
    nystroem = Nystroem(gamma=1 / (2 * np.sqrt(WIDTH)), n_components=8, random_state=0)
    features = nystroem.fit(landmarks).transform(_rows(x))
    got = _attend(x, x, value, num_landmarks=8)
    want = features @ (features.T @ _rows(value))
    pseudo = np.linalg.pinv(np.asarray(kernel, np.float64))
    return [
        Check("inverse's distance from numpy.linalg.pinv", _off(inverse, pseudo), "<=", 1e-3),
        Check("derivative's distance from autodiff's", _off(ours, through), "<=", 1e-3),
        Check("distance from scikit-learn's Nyström map", _off(got, want), "<=", 1e-3),
    ]


def effects(key: jax.Array) -> list[Check]:
    """How near few landmarks come to the whole kernel, where tokens come in clusters."""
    errors = {}
    for count in (4, 16, 64):
        off = []
        for draw in jax.random.split(key, DRAWS):
            x, value = _clusters(draw)
            dense = _kernel(_rows(x), _rows(x)) @ _rows(value)
            got = _rows(_attend(x, x, value, num_landmarks=count))
            off.append(np.linalg.norm(got - dense) / np.linalg.norm(dense))
        errors[count] = float(np.mean(off))
    return [
        Check("error with 16 landmarks over that with 4", errors[16] / errors[4], "<", 1.0),
        Check("error with 64 landmarks over that with 16", errors[64] / errors[16], "<", 1.0),
        # A landmark for each of the clusters leaves what differs within them.
        Check("error with 16 landmarks for 16 clusters", errors[16], "<=", 0.3),
    ]


_attend = jax.jit(softmax_free_attention, static_argnames="num_landmarks")


def _arrays(key: jax.Array) -> Any:
    """Draw tokens that are queries and keys at once, spread wide enough to tell them apart."""
    keys = jax.random.split(key)
    return (
        3 * jax.random.normal(keys[0], (LENGTH, 1, WIDTH)),
        jax.random.normal(keys[1], (LENGTH, 1, 4)),
    )


def _clusters(key: jax.Array) -> Any:
    """Draw tokens around centres, cluster after cluster, as neighbouring patches are alike."""
    centre_key, token_key, value_key = jax.random.split(key, 3)
    centres = 2 * jax.random.normal(centre_key, (CLUSTERS, 1, WIDTH))
    spread = 0.3 * jax.random.normal(token_key, (CLUSTERS, TOKENS // CLUSTERS, WIDTH))
    tokens = (centres + spread).reshape(TOKENS, 1, WIDTH)
    return tokens, jax.random.normal(value_key, (TOKENS, 1, 4))


def _rows(x: Any) -> np.ndarray:
    return np.asarray(x, np.float64)[:, 0]


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    square = ((x[:, None] - y[None]) ** 2).sum(-1)
    return np.exp(-square / (2 * np.sqrt(WIDTH)))


def _off(got: Any, want: Any) -> float:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return float(np.abs(got.reshape(want.shape) - want).max() / np.abs(want).max())


def _operations(attention: Any, tokens: int) -> float:
    """Count the operations of the program as written, before any compilation."""
    x = jax.ShapeDtypeStruct((tokens, 1, 64), jnp.float32)
    costs: Any = jax.jit(attention).lower(x, x, x).cost_analysis()
    return costs["flops"]


CLAIM = Claim(
    name="softmax-free-attention",
    title="Softmax-free Linear Transformers",
    year=2022,
    says="a Gaussian kernel read through landmarks stands for full attention at linear cost",
    identities=identities,
    agreements=agreements,
    effects=effects,
)
