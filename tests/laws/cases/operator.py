"""Rows of ``layers.operator``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import operator
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.operator"
MULTIGRID = "tests/layers/operator/test_multigrid.py"
SPECTRAL = "tests/layers/operator/test_spectral.py"
SPECTRAL_CONV = operator.SpectralConv(2, (3,))
LEVEL = operator.poisson_levels(1, axes=1)[0]


def _level(operator_, pre, post, restriction, prolongation):
    return operator.MultigridLevel(operator_, pre, post, restriction, prolongation)


CASES = [
    Case(
        name=f"{HOME}.multigrid_cycle",
        function=lambda f, *kernels: operator.multigrid_cycle(f, [_level(*kernels)] * 2),
        inputs=lambda key: tuple(
            x * scale
            for x, scale in zip(
                normal(key, (5, 2), (3, 1, 2), (1, 3, 2, 1), (1, 3, 2, 1), (3, 2, 2), (3, 1, 1)),
                (1, 0.3, 0.3, 0.3, 0.3, 0.3),
                strict=True,
            )
        ),
        parity=MULTIGRID,
        extreme=100.0,
        rejects=(
            Reject(
                call=lambda: operator.multigrid_cycle(jnp.ones((7, 2)), [LEVEL]),
                error=ValueError,
                match=r"multigrid_cycle: `levels\[0\].operator` .* needs 2 channels out",
            ),
            Reject(
                call=lambda: operator.multigrid_cycle(jnp.ones((3, 1)), [LEVEL] * 3),
                error=ValueError,
                match=r"multigrid_cycle: `f` is \(3,\); it needs at least 1 places .* 3 grids",
            ),
            Reject(
                call=lambda: operator.multigrid_cycle(
                    jnp.ones((7, 1)), [LEVEL._replace(prolongation=None)] * 2
                ),
                error=ValueError,
                match=r"multigrid_cycle: `levels\[0\].prolongation` is None; it needs a kernel",
            ),
        ),
    ),
    module_case(
        f"{HOME}.MgConv",
        operator.MgConv(2, levels=2, axes=1, use_local=True, activation=jax.nn.gelu),
        shape=(2, 5, 1),
        parity=MULTIGRID,
        extreme=100.0,  # of each of nine kernels, most of which multiply
        rejects=(
            Reject(
                call=lambda: operator.MgConv(2, axes=1, steps=(0, 1)).init(
                    jax.random.key(0), jnp.ones((7, 1))
                ),
                error=ValueError,
                match=r"MgConv: `steps` is \(0, 1\); it needs at least one step before",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.spectral_convolution",
        function=operator.spectral_convolution,
        inputs=lambda key: normal(key, (2, 3, 3, 2), (3, 2, 2, 1), (3, 2, 2, 1)),
        parity=SPECTRAL,
        rejects=(
            Reject(
                call=lambda: operator.spectral_convolution(
                    jnp.ones((4, 2)), jnp.ones((3, 2, 1)), jnp.ones((3, 2, 1))
                ),
                error=ValueError,
                match=r"spectral_convolution: `x` .* needs at least 5 places",
            ),
            Reject(
                call=lambda: operator.spectral_convolution(
                    jnp.ones((4, 2)), jnp.ones((2, 2, 1)), jnp.ones((2, 1, 1))
                ),
                error=ValueError,
                match=r"spectral_convolution: `imaginary` .* needs shape \(2, 2, 1\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.SpectralConv",
        SPECTRAL_CONV,
        shape=(2, 5, 2),
        parity=SPECTRAL,
        equals={
            "spectral_convolution": lambda v, x: operator.spectral_convolution(x, **v["params"])
        },
        rejects=(
            Reject(
                call=lambda: SPECTRAL_CONV.init(jax.random.key(0), jnp.ones(2)),
                error=ValueError,
                match=r"SpectralConv: `x` .* needs shape \(\*batch, 1 axes of space, inputs\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.deep_onet",
        function=operator.deep_onet,
        inputs=lambda key: normal(key, (2, 1, 3), (4, 1, 3), (1,)),
        parity="tests/layers/operator/test_deep_onet.py",
        rejects=(
            Reject(
                call=lambda: operator.deep_onet(jnp.ones((2, 1, 3)), jnp.ones((4, 1, 2))),
                error=ValueError,
                match=r"deep_onet: `trunk` .* needs shape \(points, 1, 3\)",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.MultigridLevel",
        reason="the kernels of one grid, as a tuple",
        parity=MULTIGRID,
    ),
    Plain(
        name=f"{HOME}.poisson_levels",
        reason="makes constants from two sizes; takes no arrays",
        parity=MULTIGRID,
    ),
]
