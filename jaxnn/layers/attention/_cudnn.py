"""Softmax attention by the fused kernel of cuDNN, which ``jax.nn`` calls on NVIDIA GPUs."""

import math

import jax
import jax.numpy as jnp

from jaxnn._check import require


def attend_by_cudnn(where, query, key, value, mask, bias, *, is_causal, scale, window):
    """Check what the kernel needs, fold the batch into one axis, and hand over."""
    backend = jax.default_backend()
    require(
        backend in ("gpu", "cuda"),
        where,
        "implementation",
        "cudnn",
        f"an NVIDIA GPU, and runs on {backend}",
        "Leave it None there.",
    )
    half = (jnp.float16, jnp.bfloat16)
    require(
        query.dtype in half and key.dtype == value.dtype == query.dtype,
        where,
        "query",
        query,
        "bfloat16 or float16 for implementation 'cudnn', as `key` and `value`",
    )
    require(
        value.shape == key.shape,
        where,
        "value",
        value,
        f"the shape of `key`, {key.shape}, for implementation 'cudnn'",
    )
    require(
        window is None or is_causal,
        where,
        "window",
        window,
        "`is_causal` for implementation 'cudnn', whose windows look back only",
    )
    batch, full = query.shape[:-3], (query.shape[-2], query.shape[-3], key.shape[-3])
    added = {}
    for name, x in (("mask", mask), ("bias", bias)):
        if x is not None:
            x = x if name == "mask" else x.astype(query.dtype)
            x = jnp.broadcast_to(x, (*batch, *full))
            added[name] = x.reshape(math.prod(batch), *full)
    y = jax.nn.dot_product_attention(
        *(x.reshape(math.prod(batch), *x.shape[-3:]) for x in (query, key, value)),
        **added,
        is_causal=is_causal,
        scale=scale,
        local_window_size=None if window is None else (window - 1, 0),
        implementation="cudnn",
    )
    return y.reshape(query.shape)
