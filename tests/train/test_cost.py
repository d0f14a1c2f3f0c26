import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import train
from tests.train.toys import examples, new_state, step_of


def test_products_are_counted_by_hand():
    x, y = jnp.zeros((7, 11)), jax.ShapeDtypeStruct((11, 13), jnp.float32)
    cost = train.cost_of(jnp.matmul, x, y)
    assert cost.flops == 2 * 7 * 11 * 13
    assert cost.bytes_accessed == 4 * (7 * 11 + 11 * 13 + 7 * 13)


def test_a_step_costs_its_products_and_is_not_run():
    """Forward and the gradient of each kernel; and the gradient of the hidden layer."""
    state, (x, y) = new_state(), examples()
    batch = x[:30], y[:30]
    kernels = [leaf.shape for leaf in jax.tree.leaves(state.params) if leaf.ndim == 2]
    products = [2 * 30 * a * b for a, b in kernels]
    assert len(products) == 2
    inner = products[-1]
    least = 2 * sum(products) + inner
    cost = train.cost_of(step_of(), state, batch)
    assert least < cost.flops < 2 * least
    assert state.step == 0  # donated to no one


def test_utilization_is_a_ratio_of_rates():
    assert train.Cost(3e9, 0.0).utilization(0.5, 1.2e10) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="`seconds` is 0"):
        train.Cost(1.0, 1.0).utilization(0.0, 1.0)


def test_the_makers_figure_or_one_measured(unchecked):
    for kind, peak in (("TPU v5 lite", 197e12), ("NVIDIA H100 80GB HBM3", 989e12)):
        device = types.SimpleNamespace(device_kind=kind)
        assert train.peak_flops(device) == (peak, False)
    rate, measured = train.peak_flops()
    assert measured
    assert np.isfinite(rate)
    assert rate > 1e8
