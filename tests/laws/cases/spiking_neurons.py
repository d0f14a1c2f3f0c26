"""Rows of ``layers.spiking``: neurons beyond the leaky one, and later ways in."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.layers import spiking
from tests.laws.case import Case, Plain, Reject
from tests.laws.cases.spiking import HOME, JUMPS, TESTS, X, cell_case, leaky_inputs, spike_case
from tests.laws.makers import normal


def rejects(call, error, match):
    return Reject(call=call, error=error, match=match)


def alpha_inputs(key):
    e, h, v, drive = normal(key, (2, 3), (2, 3), (2, 3), (2, 3))
    slow = jnp.array([0.9, 0.85, 0.8])
    return spiking.AlphaState(e, h, v), drive, slow, 0.8 * slow


def lapicque_inputs(key):
    state, drive, _ = leaky_inputs(key)
    return state, drive, jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 1.5, 4.0])


def izhikevich_inputs(key):
    # Below the peak, where the parabola has not yet blown small differences up.
    v, u, drive = normal(key, (2, 3), (2, 3), (2, 3))
    return spiking.IzhikevichState(-60 + 5 * v, -13 + u), drive


CASES = [
    Case(
        name=f"{HOME}.alpha_step",
        function=spiking.alpha_step,
        inputs=alpha_inputs,
        parity=f"{TESTS}/test_alpha.py",
        differentiable=(0, 1),  # logarithms of decays: no extremes beyond (0, 1)
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.alpha_step(spiking.alpha_init((2, 3)), X, 0.8, 0.9),
                ValueError,
                "alpha_step: `fast_decay` is 0.9; it needs a factor below `slow_decay`, 0.8",
            ),
            rejects(
                lambda: spiking.alpha_step(spiking.alpha_init((2, 3)), X, 1.0, 0.9),
                ValueError,
                r"alpha_step: `slow_decay` is 1.0; it needs a factor inside \(0, 1\)",
            ),
            rejects(
                lambda: spiking.alpha_step(spiking.alpha_init((3,)), X, 0.9, 0.8),
                ValueError,
                r"alpha_step: `state.excitation` .*alpha_init",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.lapicque_step",
        function=functools.partial(spiking.lapicque_step, time_step=0.5),
        inputs=lapicque_inputs,
        parity=f"{TESTS}/test_lapicque.py",
        differentiable=(0, 1),  # it divides by R and C, which are not zero
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.lapicque_step(spiking.leaky_init((2, 3)), X, 0.5, 1.0),
                ValueError,
                "lapicque_step: `time_step` is 1.0; it needs at most R C, which is 0.5",
            ),
            rejects(
                lambda: spiking.lapicque_step(spiking.leaky_init((2, 3)), X, 1.0, -1.0),
                ValueError,
                "lapicque_step: `capacitance` is -1.0; it needs a finite number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.parametric_leaky_step",
        function=spiking.parametric_leaky_step,
        inputs=lambda key: (*leaky_inputs(key)[:2], normal(key, (3,))[0]),
        parity=f"{TESTS}/test_lapicque.py",
        equals={
            "leaky_step": lambda state, x, w: spiking.leaky_step(
                state,
                x * jax.nn.sigmoid(w)[None],
                1 - jax.nn.sigmoid(w),
                reset=spiking.reset_to_zero,
            )
        },
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.parametric_leaky_step(spiking.leaky_init((2, 3)), X, jnp.ones(2)),
                ValueError,
                r"parametric_leaky_step: `rate_logit` .*shape \(3,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.izhikevich_step",
        function=spiking.izhikevich_step,
        inputs=izhikevich_inputs,
        parity=f"{TESTS}/test_izhikevich.py",
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.izhikevich_step(spiking.izhikevich_init((3,)), X),
                ValueError,
                "izhikevich_step: `state.v` .*izhikevich_init",
            ),
            rejects(
                lambda: spiking.izhikevich_step(spiking.izhikevich_init((2, 3)), X, time_step=0.0),
                ValueError,
                "izhikevich_step: `time_step` is 0.0; it needs a finite number above zero",
            ),
        ),
    ),
    cell_case(
        "AlphaCell",
        spiking.AlphaCell(),
        {"alpha_step": lambda v, carry, x: spiking.alpha_step(carry, x, 0.9, 0.8)},
        parity="test_alpha.py",
        exempt=JUMPS,
    ),
    cell_case(
        "LapicqueCell",
        spiking.LapicqueCell(),
        {"lapicque_step": lambda v, carry, x: spiking.lapicque_step(carry, x, 1.0, 10.0)},
        parity="test_lapicque.py",
        exempt=JUMPS,
    ),
    cell_case(
        "ParametricLeakyCell",
        spiking.ParametricLeakyCell(),
        {
            "parametric_leaky_step": lambda v, carry, x: spiking.parametric_leaky_step(
                carry, x, v["params"]["rate_logit"]
            )
        },
        parity="test_lapicque.py",
        exempt=JUMPS,
    ),
    cell_case(
        "IzhikevichCell",
        spiking.IzhikevichCell(),
        {"izhikevich_step": lambda v, carry, x: spiking.izhikevich_step(carry, x)},
        parity="test_izhikevich.py",
        exempt=JUMPS,
    ),
    spike_case("exponential"),
    spike_case("multi_gaussian"),
    Case(
        name=f"{HOME}.delta_encode",
        function=functools.partial(spiking.delta_encode, off_spikes=True),
        inputs=lambda key: normal(key, (2, 5, 3)),
        parity=f"{TESTS}/test_encoding.py",
        exempt={"gradients": "spikes on change are steps without a gradient"},
        rejects=(
            rejects(
                lambda: spiking.delta_encode(X, threshold=0.0),
                ValueError,
                "delta_encode: `threshold` is 0.0; it needs a finite number above zero",
            ),
            rejects(
                lambda: spiking.delta_encode(X, time_axis=2),
                ValueError,
                "delta_encode: `time_axis` is 2; it needs an axis of `x`, which has 2",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.population_encode",
        function=lambda x: spiking.population_encode(x, 5),
        inputs=lambda key: (jax.random.uniform(key, (2, 3)),),
        parity=f"{TESTS}/test_encoding.py",
        rejects=(
            rejects(
                lambda: spiking.population_encode(X, 2),
                ValueError,
                "population_encode: `neurons` is 2; it needs a whole number of at least 3",
            ),
            rejects(
                lambda: spiking.population_encode(X, 5, low=2.0),
                ValueError,
                "population_encode: `high` is 1.0; it needs a number above `low`, which is 2.0",
            ),
        ),
    ),
    *(
        Plain(
            name=f"{HOME}.{name}",
            reason="a state type, or what it starts from",
            parity=f"{TESTS}/{parity}",
        )
        for name, parity in (
            ("AlphaState", "test_alpha.py"),
            ("alpha_init", "test_alpha.py"),
            ("IzhikevichState", "test_izhikevich.py"),
            ("izhikevich_init", "test_izhikevich.py"),
        )
    ),
    *(
        Plain(
            name=f"{HOME}.{name}",
            reason="four numbers, or their type",
            parity=f"{TESTS}/test_izhikevich.py",
        )
        for name in (
            "CHATTERING",
            "FAST_SPIKING",
            "INTRINSICALLY_BURSTING",
            "IzhikevichParameters",
            "LOW_THRESHOLD_SPIKING",
            "REGULAR_SPIKING",
            "RESONATOR",
            "THALAMO_CORTICAL",
        )
    ),
]
