"""Rows of ``train.losses``: those of spiking networks."""

import jax
import jax.numpy as jnp

from jaxnn.train import losses
from tests.laws.case import Case, Reject

HOME = "train.losses"
PARITY = "tests/train/losses/test_spiking.py"
WIDE = {
    "bfloat16": "losses are float32 whatever the traces' dtype; the parity file checks the dtype"
}
X = jnp.ones((2, 4, 3))
OPTIONS = {
    "rate_cross_entropy": {},
    "count_cross_entropy": {},
    "membrane_cross_entropy": {},
    "first_spike_cross_entropy": {},
    "rate_squared_error": {"on_rate": 2.0},
    "membrane_squared_error": {},
    "first_spike_squared_error": {"off_time": -1.0},
}


def labelled(key):
    traces_key, labels_key = jax.random.split(key)
    traces = jax.random.normal(traces_key, (2, 4, 3))
    return traces, jax.random.randint(labels_key, (2,), 0, 3, jnp.int32)


def case(name, bad):
    loss = getattr(losses, name)
    rejects = [
        Reject(
            call=lambda: loss(X, jnp.zeros((2, 4), jnp.int32)),
            error=ValueError,
            match=rf"{name}: `targets` is .*\(2, 4\).* needs shape \(2,\)",
        ),
        Reject(
            call=lambda: loss(X, jnp.zeros(2, jnp.int32), time_axis=2),
            error=ValueError,
            match=f"{name}: `time_axis` is 2; it needs an axis of `outputs`, which has 3",
        ),
    ]
    for argument, value in bad.items():
        rejects.append(
            Reject(
                call=lambda: loss(X, jnp.zeros(2, jnp.int32), **bad),
                error=ValueError,
                match=f"{name}: `{argument}` is {value}; it needs .*from 0 to 1",
            )
        )
    return Case(
        name=f"{HOME}.{name}",
        function=loss,
        inputs=labelled,
        parity=PARITY,
        exempt=WIDE,
        rejects=tuple(rejects),
    )


CASES = [case(name, bad) for name, bad in OPTIONS.items()]
