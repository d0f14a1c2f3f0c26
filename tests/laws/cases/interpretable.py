"""Rows of ``layers.interpretable``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import interpretable
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal, uniform

HOME = "layers.interpretable"
TESTS = "tests/layers/interpretable/test_bcos.py"
DENSE, CONV = interpretable.BcosDense(2), interpretable.BcosConv(2, (2,))


def tree(kernel, bias):
    return {"dense_0": {"kernel": kernel, "bias": bias}}


CASES = [
    Case(
        name=f"{HOME}.bcos",
        function=lambda x, w: interpretable.bcos(x, w, power=1.5),
        inputs=lambda key: normal(key, (3, 2), (2, 2)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: interpretable.bcos(jnp.ones((1, 3)), jnp.ones((2, 3))),
                error=ValueError,
                match=r"bcos: `kernel` .* needs shape \(3, outputs\)",
            ),
            Reject(
                call=lambda: interpretable.bcos(jnp.ones(3), jnp.ones((3, 3)), power=0.5),
                error=ValueError,
                match=r"bcos: `power` is 0\.5; it needs a number of at least 1",
            ),
            Reject(
                call=lambda: interpretable.bcos(jnp.ones(3), jnp.ones((3, 3)), pieces=2),
                error=ValueError,
                match="bcos: `pieces` is 2; it needs a divisor of the 3 outputs",
            ),
        ),
    ),
    module_case(
        f"{HOME}.BcosDense",
        DENSE,
        shape=(3, 2),
        parity=TESTS,
        equals={"bcos": lambda v, x: interpretable.bcos(x, v["params"]["kernel"])},
        rejects=(
            Reject(
                call=lambda: interpretable.BcosDense(0).init(jax.random.key(0), jnp.ones(3)),
                error=ValueError,
                match="BcosDense: `features` is 0; it needs a whole number",
            ),
        ),
    ),
    module_case(
        f"{HOME}.BcosConv",
        CONV,
        shape=(2, 4, 3),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: CONV.init(jax.random.key(0), jnp.ones(3)),
                error=ValueError,
                match=r"BcosConv: `x` .* needs shape \(\*batch, 1 axes of space, inputs\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.complement_encoding",
        function=interpretable.complement_encoding,
        inputs=lambda key: (uniform(key, (2, 3)),),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: interpretable.complement_encoding(jnp.ones(3, int)),
                error=TypeError,
                match="complement_encoding: `x` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.bcosify",
        function=lambda kernel, bias: interpretable.bcosify(
            tree(kernel, bias), "dense_0", channels=2, keep_bias=True
        ),
        inputs=lambda key: normal(key, (4, 2), (2,)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: interpretable.bcosify(tree(jnp.ones((3, 2)), jnp.ones(2)), "conv"),
                error=ValueError,
                match=r"bcosify: `first` is 'conv'; it needs one of the layers \['dense_0'\]",
            ),
            Reject(
                call=lambda: interpretable.bcosify(
                    tree(jnp.ones((3, 2)), jnp.ones(2)), "dense_0", channels=2
                ),
                error=ValueError,
                match="bcosify: `channels` is 2; it needs a divisor of the 3 inputs",
            ),
            Reject(
                call=lambda: interpretable.bcosify(jnp.ones(2), "dense_0"),  # pyright: ignore
                error=TypeError,
                match="bcosify: `params` is an array .* needs nested dictionaries",
            ),
        ),
    ),
]
