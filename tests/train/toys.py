"""Small data, models and steps shared by the tests of the train room."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn import train
from jaxnn.train import losses


@functools.cache
def examples(count=90, width=4, classes=3):
    """Clusters around random centres, so that there is something to learn."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, count).astype(np.int32)
    x = rng.normal(size=(classes, width))[y] + 0.5 * rng.normal(size=(count, width))
    return x.astype(np.float32), y


class Net(nn.Module):
    """One hidden layer with dropout, as a user would write it."""

    rate: float = 0.0

    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Dense(5)(x))
        x = nn.Dropout(self.rate, deterministic=not self.has_rng("dropout"))(x)
        return nn.Dense(3)(x)


# One object each, so that programs compiled for one test serve the others.
NET = Net()
DROPPING = Net(rate=0.5)
ADAM = optax.adam(1e-2)


@functools.cache
def step_of(**options):
    """Make one step for each set of options."""
    return train.make_step(losses.cross_entropy, metrics={"accuracy": losses.accuracy}, **options)


def new_state(model=NET, *, seed=0, tx=ADAM, **options):
    """Initialise a model; programs are shared between calls."""
    return train.create_state(model, tx, examples()[0][:2], key=jax.random.key(seed), **options)


def bits(tree):
    """Copy a tree to the host, keys as words."""

    def copy(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.array(leaf, copy=True)

    return jax.tree.map(copy, tree)


def assert_same_bits(got, want):
    """Compare two trees bit for bit, NaN included, structure and dtypes too."""
    got, want = bits(got), bits(want)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for (path, g), w in zip(
        jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True
    ):
        name = jax.tree_util.keystr(path)
        assert (g.dtype, g.shape) == (w.dtype, w.shape), name
        assert g.tobytes() == w.tobytes(), name


def without_seconds(history):
    """Records without the one entry that may differ between runs."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]
