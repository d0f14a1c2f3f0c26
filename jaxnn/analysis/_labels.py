"""What the measures on labelled activations share: the check of both, and sums by class."""

from numbers import Integral

import jax
import jax.numpy as jnp

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def labelled(
    where: str, features: jax.Array, labels: jax.Array, num_classes: int
) -> tuple[jax.Array, jax.Array]:
    """Check activations ``(samples, units)`` and their labels; give both ready for sums.

    The activations come back in float32 or wider, the labels as int32, with ``num_classes``,
    which sums by class drop, in place of all that name no class.
    """
    require_array(where, features=features)
    ok = features.ndim == 2 and features.size > 0
    require(ok, where, "features", features, "shape (samples, units), neither of them zero")
    require_labels(where, labels, len(features))
    ok = isinstance(num_classes, Integral) and num_classes > 1
    require(ok, where, "num_classes", num_classes, "a whole number above one")
    labels = jnp.asarray(labels).astype(jnp.int32)
    known = (labels >= 0) & (labels < num_classes)
    wide = jnp.asarray(features).astype(accumulation_dtype(features.dtype))
    return wide, jnp.where(known, labels, num_classes)


def require_labels(where: str, labels: jax.Array, samples: int) -> None:
    """Raise unless ``labels`` are integers, one for each sample."""
    require_array(where, floating=False, labels=labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"{where}: `labels` has dtype {labels.dtype}; it needs integers.")
    needs = f"shape ({samples},), one for each sample"
    require(labels.shape == (samples,), where, "labels", labels, needs)


def class_sums(values: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """Add up the rows of each class, those that :func:`labelled` set aside left out."""
    return jax.ops.segment_sum(values, labels, num_classes)
