"""Rows of ``layers.recurrent``: hierarchically gated recurrences."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_hierarchical.py"
X = jnp.ones((4, 2))
HGRN = recurrent.HGRN(2, units=3)

CASES = [
    Case(
        name=f"{HOME}.forget_bounds",
        function=recurrent.forget_bounds,
        inputs=lambda key: normal(key, (4, 2)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.forget_bounds(jnp.ones(3)),
                error=ValueError,
                match=r"forget_bounds: `logits` .* needs shape \(layers, units\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.hierarchical_recurrence",
        # Its states as real numbers alone: the last one is complex, and float32 for bfloat16.
        function=lambda c, z, bound, angles: recurrent.hierarchical_recurrence(
            c, z, jax.nn.sigmoid(bound), angles
        )[0],
        inputs=lambda key: normal(key, (5, 4), (5, 2), (2,), (2,)),
        parity=TESTS,
        extreme=10.0,  # angles of thousands are known to a few digits only
        rejects=(
            Reject(
                call=lambda: recurrent.hierarchical_recurrence(X, X),
                error=ValueError,
                match=r"hierarchical_recurrence: `candidates` .* needs shape \(4, 4\), twice as",
            ),
            Reject(
                call=lambda: recurrent.hierarchical_recurrence(X, X[:, :1], jnp.ones(2)),
                error=ValueError,
                match=r"hierarchical_recurrence: `bound` .* needs shape \(1,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.HGRN",
        function=lambda variables, x: HGRN.apply(variables, x)[0],
        inputs=module_case("", HGRN, shape=(5, 2), parity="").inputs,
        extreme=10.0,  # angles of thousands are known to a few digits only
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: HGRN.clone(units=0).init(jax.random.key(0), X),
                error=ValueError,
                match="HGRN: `units` is 0; it needs a whole number above zero",
            ),
        ),
    ),
]
