"""AdamW with warm-up, cosine decay and clipping: the recipe most runs start from."""

import jax
import optax
from jaxtyping import PyTree

from jaxnn._check import require, require_count, require_positive


def warmup_cosine_adamw(
    learning_rate: float,
    *,
    steps: int,
    warmup: float = 0.05,
    final: float = 0.01,
    weight_decay: float = 1e-4,
    clip_norm: float | None = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
) -> optax.GradientTransformation:
    """Compose optax's global-norm clipping, AdamW and warm-up-cosine schedule.

    Weight decay acts on arrays of two or more axes only: kernels shrink, biases, scales and
    other vectors do not.

    Args:
      learning_rate: the peak, reached after warm-up.
      steps: length of the whole schedule, in updates.
      warmup: share of ``steps`` over which the rate rises linearly from zero, in [0, 1); the
        first update then has rate zero and only fills the moments.
      final: rate at the end, as a share of the peak, in [0, 1].
      weight_decay: decoupled decay per step, in units of the learning rate.
      clip_norm: largest global gradient norm let through; ``None`` lets all.
      b1: decay of the first moment.
      b2: decay of the second moment.

    Returns:
      The transformation.

    Raises:
      ValueError: a number is outside its range.

    Source: "Decoupled Weight Decay Regularization" (2017), with the schedule of "SGDR:
    Stochastic Gradient Descent with Warm Restarts" (2016) without restarts.
    """
    where = "warmup_cosine_adamw"
    require_positive(where, learning_rate=learning_rate)
    require_count(where, steps=steps)
    require(0 <= warmup < 1, where, "warmup", warmup, "a share in [0, 1)")
    require(0 <= final <= 1, where, "final", final, "a share in [0, 1]")
    require(weight_decay >= 0, where, "weight_decay", weight_decay, "a number >= 0")
    require(0 <= b1 < 1, where, "b1", b1, "a number in [0, 1)")
    require(0 <= b2 < 1, where, "b2", b2, "a number in [0, 1)")
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup else learning_rate,
        peak_value=learning_rate,
        warmup_steps=round(warmup * steps),
        decay_steps=steps,
        end_value=final * learning_rate,
    )
    adamw = optax.adamw(schedule, b1=b1, b2=b2, weight_decay=weight_decay, mask=_is_kernel)
    if clip_norm is None:
        return adamw
    require_positive(where, clip_norm=clip_norm)
    return optax.chain(optax.clip_by_global_norm(clip_norm), adamw)


def _is_kernel(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
