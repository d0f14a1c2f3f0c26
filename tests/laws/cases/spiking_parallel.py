"""Rows of ``layers.spiking``: neurons without a reset, in parallel over time."""

import jax
import jax.numpy as jnp

from jaxnn.layers import spiking
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal, uniform

HOME = "layers.spiking"
TESTS = "tests/layers/spiking/test_parallel.py"
X = jnp.ones((4, 2))
JUMPS = {
    "gradients": "spikes are steps and their gradient a surrogate's, which finite differences "
    "cannot see; the parity test holds it"
}
LEAKY = spiking.ParallelLeaky(learn_decay=True)
SPIKING = spiking.ParallelSpiking(order=2)


def no_time(name, module):
    return Reject(
        call=lambda: module.init(jax.random.key(0), X[0]),
        error=ValueError,
        match=f"{name}: `drive` .* needs axes for time and, last, for units",
    )


CASES = [
    Case(
        name=f"{HOME}.parallel_leaky",
        function=lambda drive, decay: spiking.parallel_leaky(drive, decay)[1],
        inputs=lambda key: (*normal(key, (2, 5, 3)), uniform(key, (3,), 0.5, 0.95)),
        parity=TESTS,
        equals={
            "sequential": lambda drive, decay: spiking.leaky_sequence(
                drive, decay, reset=spiking.no_reset
            )[1]
        },
        exempt=JUMPS,
        rejects=(
            Reject(
                call=lambda: spiking.parallel_leaky(X, 1.5),
                error=ValueError,
                match="parallel_leaky: `decay` is 1.5; it needs a factor from 0 to 1",
            ),
            Reject(
                call=lambda: spiking.parallel_leaky(X, 0.5, state=spiking.leaky_init((3,))),
                error=ValueError,
                match=r"parallel_leaky: `state.v` .* needs shape \(2,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.parallel_spiking",
        function=lambda *args: spiking.parallel_spiking(*args, order=3),
        inputs=lambda key: normal(key, (2, 5, 3), (5, 5), (5,)),
        parity=TESTS,
        exempt=JUMPS,
        rejects=(
            Reject(
                call=lambda: spiking.parallel_spiking(X, X),
                error=ValueError,
                match=r"parallel_spiking: `weights` .* needs shape \(4, 4\), for the steps",
            ),
            Reject(
                call=lambda: spiking.parallel_spiking(X, jnp.ones((4, 4)), order=0),
                error=ValueError,
                match="parallel_spiking: `order` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: spiking.parallel_spiking(X, jnp.ones((4, 4)), jnp.ones(2)),
                error=ValueError,
                match=r"parallel_spiking: `threshold` .* shape \(4,\), one a time step",
            ),
        ),
    ),
    module_case(
        f"{HOME}.ParallelLeaky",
        LEAKY,
        shape=(5, 3),
        parity=TESTS,
        exempt=JUMPS,
        rejects=(no_time("ParallelLeaky", LEAKY),),
    ),
    module_case(
        f"{HOME}.ParallelSpiking",
        SPIKING,
        shape=(5, 3),
        parity=TESTS,
        exempt=JUMPS,
        rejects=(no_time("ParallelSpiking", SPIKING),),
    ),
]
