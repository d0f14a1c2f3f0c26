"""Rows of ``layers.recurrent``: cells with low-rank kernels."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

HOME = "layers.recurrent"
LOW_RANK = "tests/layers/recurrent/test_low_rank.py"
X = jnp.ones((4, 2))
GRU = recurrent.LowRankGRUCell(3, 2)
LSTM = recurrent.LowRankLSTMCell(3, 2)


def cell_inputs(cell):
    init = jax.jit(cell.init)

    def inputs(key):
        keys = jax.random.split(key, 3)
        carry = jax.tree.map(
            lambda c: c + 0.5 * jax.random.normal(keys[0], c.shape),
            cell.initialize_carry(keys[0], (2, 2)),
        )
        x = jax.random.normal(keys[1], (2, 2))
        return init(keys[2], carry, x), carry, x

    return inputs


CASES = [
    Case(
        name=f"{HOME}.low_rank_products",
        function=recurrent.low_rank_products,
        inputs=lambda key: normal(key, (3, 4), (2, 4, 2), (2, 2, 4), (2, 4)),
        parity=LOW_RANK,
        rejects=(
            Reject(
                call=lambda: recurrent.low_rank_products(X, jnp.ones((1, 2, 3)), X),
                error=ValueError,
                match=r"low_rank_products: `up` .* needs shape \(1, 3, 2\)",
            ),
            Reject(
                call=lambda: recurrent.low_rank_products(X, X, X),
                error=ValueError,
                match=r"low_rank_products: `down` .* needs shape \(gates, 2, rank\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.low_rank_gru_step",
        function=recurrent.low_rank_gru_step,
        inputs=lambda key: normal(key, (4,), (12,), (3, 4, 2), (3, 2, 4), (3, 4), (4,)),
        parity=LOW_RANK,
        rejects=(
            Reject(
                call=lambda: recurrent.low_rank_gru_step(X, X, X, X),
                error=ValueError,
                match=r"low_rank_gru_step: `drive` .* needs shape \(4, 6\)",
            ),
            Reject(
                call=lambda: recurrent.low_rank_gru_step(
                    X, jnp.ones((4, 6)), jnp.ones((2, 2, 1)), X
                ),
                error=ValueError,
                match=r"low_rank_gru_step: `down` .* needs shape \(3, 2, rank\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.low_rank_lstm_step",
        function=lambda c, h, *rest: recurrent.low_rank_lstm_step((c, h), *rest),
        inputs=lambda key: normal(key, (4,), (4,), (16,), (4, 4, 2), (4, 2, 4), (4, 4)),
        parity=LOW_RANK,
        rejects=(
            Reject(
                call=lambda: recurrent.low_rank_lstm_step(
                    (X[0], X), jnp.ones((4, 8)), jnp.ones((4, 2, 1)), X
                ),
                error=ValueError,
                match=r"low_rank_lstm_step: `state` .* needs shape \(4, 2\) of c, as of h",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.LowRankGRUCell",
        function=GRU.apply,
        inputs=cell_inputs(GRU),
        parity=LOW_RANK,
        rejects=(
            Reject(
                call=lambda: GRU.clone(rank=4).init(jax.random.key(0), jnp.ones((4, 3)), X),
                error=ValueError,
                match="LowRankGRUCell: `rank` is 4; it needs at most `features`, which is 3",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.LowRankLSTMCell",
        function=LSTM.apply,
        inputs=cell_inputs(LSTM),
        parity=LOW_RANK,
        rejects=(
            Reject(
                call=lambda: LSTM.clone(rank=0).init(jax.random.key(0), (X, X), X),
                error=ValueError,
                match="LowRankLSTMCell: `rank` is 0; it needs a whole number above zero",
            ),
        ),
    ),
]
