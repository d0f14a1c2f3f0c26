"""Rows of ``layers.operator``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import operator
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.operator"
MULTIGRID = "tests/layers/operator/test_multigrid.py"
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
