"""Rows of ``layers.recurrent``: fast weights."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_fast_weights.py"
X = jnp.ones((4, 2))
DELTA = recurrent.DeltaNet(2, head_width=3)
SELF = recurrent.SelfReferential(2)


CASES = [
    Case(
        name=f"{HOME}.delta_rule_step",
        function=recurrent.delta_rule_step,
        inputs=lambda key: normal(key, (2, 3), (3,), (2,), (3,), ()),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.delta_rule_step(X, X[0], X[0], X[0], jnp.ones(())),
                error=ValueError,
                match=r"delta_rule_step: `value` .* needs shape \(4,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.self_referential_step",
        function=recurrent.self_referential_step,
        inputs=lambda key: normal(key, (2 + 6 + 4, 3), (3,)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.self_referential_step(jnp.ones((8, 2)), X[0]),
                error=ValueError,
                match=r"self_referential_step: `state` .* needs more than 2 x 2 \+ 4 rows",
            ),
            Reject(
                call=lambda: recurrent.self_referential_step(jnp.ones((9, 2)), X),
                error=ValueError,
                match=r"self_referential_step: `x` .* needs shape \(2,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.delta_rule",
        # Keys and rates as the rule needs them; the output alone: the state is float32.
        function=lambda key, value, query, rate: recurrent.delta_rule(
            jax.nn.softmax(key), value, query, jax.nn.sigmoid(rate)
        )[0],
        inputs=lambda key: normal(key, (4, 1, 3), (4, 1, 2), (4, 1, 3), (4, 1)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.delta_rule(X[None], X[None], X[None], X),
                error=ValueError,
                match=r"delta_rule: `rate` .* needs shape \(1, 4\), as `key`",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.self_referential",
        function=lambda x, state: recurrent.self_referential(x, state)[0],
        inputs=lambda key: normal(key, (4, 1, 3), (1, 2 + 6 + 4, 3)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.self_referential(X[None], X),
                error=ValueError,
                match=r"self_referential: `state` .* needs shape \(4, 'rows', 2\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.DeltaNet",
        function=lambda variables, x: DELTA.apply(variables, x)[0],
        inputs=module_case("", DELTA, shape=(4, 2), parity="").inputs,
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: DELTA.clone(head_width=0).init(jax.random.key(0), X),
                error=ValueError,
                match="DeltaNet: `head_width` is 0; it needs a whole number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.SelfReferential",
        function=lambda variables, x: SELF.apply(variables, x)[0],
        inputs=module_case("", SELF, shape=(4, 2), parity="").inputs,
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: SELF.clone(num_heads=3).init(jax.random.key(0), X),
                error=ValueError,
                match="SelfReferential: `x` .* needs a last axis that `num_heads` = 3 divides",
            ),
        ),
    ),
]
