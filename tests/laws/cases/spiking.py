"""Rows of ``layers.spiking``."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.layers import spiking
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.spiking"
TESTS = "tests/layers/spiking"
X = jnp.ones((2, 3))
JUMPS = {
    "gradients": "spikes are steps and their gradient a surrogate's, which finite differences "
    "cannot see; the parity test holds it"
}
NO_GRADIENT = {
    "gradients": "the output has no gradient by definition",
    "extremes": "no float output to differentiate",
}


def rejects(call, error, match):
    return Reject(call=call, error=error, match=match)


def spike_case(name):
    function = getattr(spiking, name)
    return Case(
        name=f"{HOME}.{name}",
        function=function,
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_surrogate.py",
        exempt=JUMPS,
        rejects=(
            rejects(lambda: function(X > 0), TypeError, f"{name}: `x` .*floating-point"),
            rejects(
                lambda: function(X, slope=0.0),
                ValueError,
                f"{name}: `slope` is 0.0; it needs a finite number above zero",
            ),
            rejects(
                lambda: function(X, slope=jnp.ones(3)), ValueError, f"{name}: `slope` .* single"
            ),
        ),
    )


def reset_case(name, exempt):
    function = getattr(spiking, name)

    def inputs(key):
        potential, spikes = normal(key, (2, 3), (2, 3))
        return potential, (spikes > 0).astype(jnp.float32), jnp.float32(0.8)

    return Case(
        name=f"{HOME}.{name}",
        function=function,
        inputs=inputs,
        parity=f"{TESTS}/test_leaky.py",
        exempt=exempt,
        rejects=(
            rejects(
                lambda: function(X, X[:1], 1.0), ValueError, rf"{name}: `spikes` .*shape \(2, 3\)"
            ),
        ),
    )


def decays(key, *shape):
    return jax.random.uniform(key, shape, minval=0.5, maxval=0.95)


def leaky_inputs(key):
    v_key, drive_key, decay_key = jax.random.split(key, 3)
    state = spiking.LeakyState(jax.random.normal(v_key, (2, 3)))
    return state, jax.random.normal(drive_key, (2, 3)), decays(decay_key, 3)


def sequence_inputs(key):
    drive_key, decay_key = jax.random.split(key)
    return jax.random.normal(drive_key, (2, 5, 3)), decays(decay_key, 3)


def pair_inputs(state, count):
    def inputs(key):
        a_key, drive_key, decay_key = jax.random.split(key, 3)
        a, b = jnp.abs(jax.random.normal(a_key, (2, 2, 3)))
        drive = jax.random.normal(drive_key, (2, 3))
        return state(a, b), drive, *decays(decay_key, count, 3)

    return inputs


def cell_case(name, cell, step, *, parity, exempt):
    """A cell as a function of its variables, a random state and one step's drive."""

    def inputs(key):
        parameters_key, carry_key, x_key = jax.random.split(key, 3)
        x = jax.random.normal(x_key, (2, 3))
        carry = cell.initialize_carry(parameters_key, x.shape)
        leaves, tree = jax.tree.flatten(carry)
        keys = jax.random.split(carry_key, len(leaves))
        leaves = [jnp.abs(jax.random.normal(k, x.shape)) for k in keys]
        carry = jax.tree.unflatten(tree, leaves)
        return cell.init(parameters_key, carry, x), carry, x

    return Case(
        name=f"{HOME}.{name}",
        function=cell.apply,
        inputs=inputs,
        parity=f"{TESTS}/{parity}",
        equals=step,
        exempt=exempt,
        rejects=(
            rejects(
                lambda: cell.init(jax.random.key(0), cell.initialize_carry(None, X.shape), X > 0),
                TypeError,
                f"{type(cell).__name__}: `inputs` .*floating-point",
            ),
        ),
    )


def learned(variables, name, link=jax.nn.sigmoid):
    """A parameter of a cell, in float32 as the cell computes it."""
    return link(variables["params"][name].astype(jnp.float32))


def scanned(drive, decay):
    state, spikes = spiking.leaky_init((2, 3)), []
    for t in range(drive.shape[1]):
        state, s = spiking.leaky_step(state, drive[:, t], decay)
        spikes.append(s)
    return jnp.stack(spikes, 1)


def recurrent_step(variables, carry, x):
    kernel = variables["params"]["feedback"]["kernel"]
    inner, spikes = spiking.leaky_step(carry.inner, x + carry.spikes @ kernel, 0.9)
    return spiking.RecurrentState(inner, spikes), spikes


CASES = [
    *(
        spike_case(name)
        for name in (
            "arctan",
            "fast_sigmoid",
            "gaussian",
            "sigmoid",
            "straight_through",
            "triangular",
        )
    ),
    Case(
        name=f"{HOME}.surrogate",
        function=spiking.surrogate(lambda x, slope: jnp.exp(-slope * jnp.abs(x))),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_surrogate.py",
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.surrogate(lambda x, k: x, name="mine")(X, slope=-1.0),
                ValueError,
                "mine: `slope` is -1.0; it needs a finite number above zero",
            ),
        ),
    ),
    reset_case("reset_by_subtraction", {}),
    reset_case("reset_to_zero", {}),
    reset_case("no_reset", {}),
    Case(
        name=f"{HOME}.leaky_step",
        function=spiking.leaky_step,
        inputs=leaky_inputs,
        parity=f"{TESTS}/test_leaky.py",
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.leaky_step(spiking.leaky_init((2, 4)), X, 0.9),
                ValueError,
                r"leaky_step: `state.v` is .*\(2, 4\).* needs shape \(2, 3\).*leaky_init",
            ),
            rejects(
                lambda: spiking.leaky_step(spiking.leaky_init((2, 3)), X, jnp.ones(2)),
                ValueError,
                r"leaky_step: `decay` is .*\(2,\).* needs a number or shape \(3,\)",
            ),
            rejects(
                lambda: spiking.leaky_step(spiking.leaky_init((2, 3)), X, 1.1),
                ValueError,
                "leaky_step: `decay` is 1.1; it needs a factor from 0 to 1",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.integrate_step",
        function=spiking.integrate_step,
        inputs=lambda key: leaky_inputs(key)[:2],
        parity=f"{TESTS}/test_leaky.py",
        equals={"leaky_step": lambda state, x: spiking.leaky_step(state, x, 1.0)},
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.integrate_step(spiking.leaky_init((2, 3)), X, threshold=0.0),
                ValueError,
                "integrate_step: `threshold` is 0.0; it needs a finite number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.leaky_sequence",
        function=lambda drive, decay: spiking.leaky_sequence(drive, decay)[1],
        inputs=sequence_inputs,
        parity=f"{TESTS}/test_leaky.py",
        equals={
            "repeated steps": scanned,
            "run": lambda drive, decay: spiking.run(
                spiking.leaky_step, spiking.leaky_init((2, 3)), drive, decay
            )[1],
        },
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.leaky_sequence(X, 0.9, time_axis=-1),
                ValueError,
                "leaky_sequence: `time_axis` is -1; it needs an axis of `drive`",
            ),
            rejects(
                lambda: spiking.leaky_sequence(X[0], 0.9),
                ValueError,
                "leaky_sequence: `drive` .*axes for time and, last, for units",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.synaptic_step",
        function=spiking.synaptic_step,
        inputs=pair_inputs(spiking.SynapticState, 2),
        parity=f"{TESTS}/test_synaptic.py",
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.synaptic_step(spiking.synaptic_init((3,)), X, 0.5, 0.9),
                ValueError,
                r"synaptic_step: `state.current` .*shape \(2, 3\).*synaptic_init",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.adaptive_step",
        function=spiking.adaptive_step,
        inputs=pair_inputs(spiking.AdaptiveState, 3),
        parity=f"{TESTS}/test_adaptive.py",
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.adaptive_step(spiking.adaptive_init((2, 3)), X, 0.9, -0.1, 0.2),
                ValueError,
                "adaptive_step: `adaptation_decay` is -0.1; it needs a factor from 0 to 1",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.leaky_integrator_step",
        function=spiking.leaky_integrator_step,
        inputs=leaky_inputs,
        parity=f"{TESTS}/test_integrator.py",
        rejects=(
            rejects(
                lambda: spiking.leaky_integrator_step(spiking.leaky_init((3,)), X, 0.9),
                ValueError,
                r"leaky_integrator_step: `state.v` is .*\(3,\).* needs shape \(2, 3\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.leaky_integrator_sequence",
        function=lambda drive, decay: spiking.leaky_integrator_sequence(drive, decay)[1],
        inputs=sequence_inputs,
        parity=f"{TESTS}/test_integrator.py",
        rejects=(
            rejects(
                lambda: spiking.leaky_integrator_sequence(X.astype(int), 0.9),
                TypeError,
                "leaky_integrator_sequence: `drive` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.run",
        function=functools.partial(spiking.run, spiking.leaky_integrator_step),
        inputs=lambda key: (leaky_inputs(key)[0], *sequence_inputs(key)),
        parity=f"{TESTS}/test_run.py",
        rejects=(
            rejects(
                lambda: spiking.run(
                    spiking.leaky_step, spiking.leaky_init((3,)), X, 0.9, time_axis=2
                ),
                ValueError,
                "run: `time_axis` is 2; it needs an axis of `inputs`, which has 2",
            ),
            rejects(
                lambda: spiking.run(
                    spiking.leaky_step, spiking.leaky_init((3,)), X, 0.9, truncate=0
                ),
                ValueError,
                "run: `truncate` is 0",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.refractory",
        function=spiking.refractory(spiking.leaky_step, steps=2),
        inputs=lambda key: (
            spiking.RefractoryState(
                leaky_inputs(key)[0], jax.random.randint(key, (2, 3), 0, 2, jnp.int32)
            ),
            *leaky_inputs(key)[1:],
        ),
        parity=f"{TESTS}/test_refractory.py",
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.refractory(spiking.leaky_step, steps=-1),
                ValueError,
                "refractory: `steps` is -1; it needs a whole number of at least 0",
            ),
        ),
    ),
    cell_case(
        "LeakyCell",
        spiking.LeakyCell(learn_decay=True, learn_threshold=True),
        {
            "leaky_step": lambda v, carry, x: spiking.leaky_step(
                carry,
                x,
                learned(v, "decay_logit"),
                threshold=learned(v, "threshold_raw", jax.nn.softplus),
            )
        },
        parity="test_leaky.py",
        exempt=JUMPS,
    ),
    cell_case(
        "IntegrateCell",
        spiking.IntegrateCell(learn_threshold=True),
        {
            "integrate_step": lambda v, carry, x: spiking.integrate_step(
                carry, x, threshold=learned(v, "threshold_raw", jax.nn.softplus)
            )
        },
        parity="test_leaky.py",
        exempt=JUMPS,
    ),
    cell_case(
        "SynapticCell",
        spiking.SynapticCell(learn_decay=True),
        {
            "synaptic_step": lambda v, carry, x: spiking.synaptic_step(
                carry, x, learned(v, "current_decay_logit"), learned(v, "decay_logit")
            )
        },
        parity="test_synaptic.py",
        exempt=JUMPS,
    ),
    cell_case(
        "AdaptiveCell",
        spiking.AdaptiveCell(adaptation_strength=0.3, learn_decay=True),
        {
            "adaptive_step": lambda v, carry, x: spiking.adaptive_step(
                carry,
                x,
                learned(v, "decay_logit"),
                learned(v, "adaptation_decay_logit"),
                0.3,
            )
        },
        parity="test_adaptive.py",
        exempt=JUMPS,
    ),
    cell_case(
        "LeakyIntegratorCell",
        spiking.LeakyIntegratorCell(learn_decay=True),
        {
            "leaky_integrator_step": lambda v, carry, x: spiking.leaky_integrator_step(
                carry, x, learned(v, "decay_logit")
            )
        },
        parity="test_integrator.py",
        exempt={},
    ),
    cell_case(
        "RecurrentCell",
        spiking.RecurrentCell(),
        {"leaky_step": recurrent_step},
        parity="test_recurrent.py",
        exempt=JUMPS,
    ),
    module_case(
        f"{HOME}.Leaky",
        spiking.Leaky(learn_decay=True, learn_threshold=True),
        shape=(2, 5, 3),
        parity=f"{TESTS}/test_leaky.py",
        equals={
            "leaky_sequence": lambda v, x: spiking.leaky_sequence(
                x,
                learned(v, "decay_logit"),
                threshold=learned(v, "threshold_raw", jax.nn.softplus),
            )[1],
            "RNN": lambda v, x: nn.RNN(
                spiking.LeakyCell(learn_decay=True, learn_threshold=True)
            ).apply({"params": {"cell": v["params"]}}, x),
        },
        exempt=JUMPS,
        rejects=(
            rejects(
                lambda: spiking.Leaky(decay=1.0, learn_decay=True).init(jax.random.key(0), X),
                ValueError,
                r"Leaky: `decay` is 1.0; it needs a factor inside \(0, 1\) when it is learned",
            ),
        ),
    ),
    module_case(
        f"{HOME}.LeakyIntegrator",
        spiking.LeakyIntegrator(learn_decay=True),
        shape=(2, 5, 3),
        parity=f"{TESTS}/test_integrator.py",
        equals={
            "leaky_integrator_sequence": lambda v, x: spiking.leaky_integrator_sequence(
                x, learned(v, "decay_logit")
            )[1]
        },
        rejects=(
            rejects(
                lambda: spiking.LeakyIntegrator(decay=-1.0).init(jax.random.key(0), X),
                ValueError,
                "LeakyIntegrator: `decay` is -1.0; it needs a factor from 0 to 1",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.rate_encode",
        function=lambda key, x: spiking.rate_encode(key, x, 4),
        inputs=lambda key: (key, jax.random.uniform(key, (2, 3))),
        parity=f"{TESTS}/test_encoding.py",
        key=0,
        exempt={"gradients": "drawing spikes is not differentiable"},
        rejects=(
            rejects(
                lambda: spiking.rate_encode(0, X, 4), TypeError, "rate_encode: `key` .*random key"
            ),
            rejects(
                lambda: spiking.rate_encode(jax.random.key(0), X, 0),
                ValueError,
                "rate_encode: `steps` is 0; it needs a whole number of at least 1",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.latency_encode",
        function=lambda x: spiking.latency_encode(x, 4),
        inputs=lambda key: (jax.random.uniform(key, (2, 3)),),
        parity=f"{TESTS}/test_encoding.py",
        exempt={"gradients": "the time of a spike is a whole number of steps"},
        rejects=(
            rejects(
                lambda: spiking.latency_encode(X, 4, time_axis=3),
                ValueError,
                "latency_encode: `time_axis` is 3; it needs an axis of the result, which has 3",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.direct_encode",
        function=lambda x: spiking.direct_encode(x, 4),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_encoding.py",
        rejects=(
            rejects(
                lambda: spiking.direct_encode(X > 0, 4), TypeError, "direct_encode: `x` .*floating"
            ),
        ),
    ),
    *(
        Case(
            name=f"{HOME}.{name}",
            function=getattr(spiking, name),
            inputs=lambda key: normal(key, (2, 5, 3)),
            parity=f"{TESTS}/test_decoding.py",
            exempt=exempt,
            rejects=(
                rejects(
                    lambda name=name: getattr(spiking, name)(X, time_axis=2),
                    ValueError,
                    f"{name}: `time_axis` is 2; it needs an axis of `{argument}`, which has 2",
                ),
            ),
        )
        for name, argument, exempt in (
            ("spike_count", "spikes", {}),
            ("membrane_mean", "v", {}),
            ("membrane_max", "v", {}),
            ("first_spike_time", "spikes", NO_GRADIENT),
        )
    ),
    Case(
        name=f"{HOME}.spike_rate_penalty",
        function=functools.partial(spiking.spike_rate_penalty, target=0.1),
        inputs=lambda key: normal(key, (2, 5, 3)),
        parity=f"{TESTS}/test_decoding.py",
        rejects=(
            rejects(
                lambda: spiking.spike_rate_penalty(X, target=1.5),
                ValueError,
                "spike_rate_penalty: `target` is 1.5; it needs a rate from 0 to 1",
            ),
            rejects(
                lambda: spiking.spike_rate_penalty(np.float32(1), target=0.1),
                TypeError,
                "spike_rate_penalty: `spikes` .*array",
            ),
        ),
    ),
    *(
        Plain(
            name=f"{HOME}.{name}",
            reason="a state type, or the zeros it starts from",
            parity=f"{TESTS}/{parity}",
        )
        for name, parity in (
            ("LeakyState", "test_leaky.py"),
            ("leaky_init", "test_leaky.py"),
            ("SynapticState", "test_synaptic.py"),
            ("synaptic_init", "test_synaptic.py"),
            ("AdaptiveState", "test_adaptive.py"),
            ("adaptive_init", "test_adaptive.py"),
            ("RecurrentState", "test_recurrent.py"),
            ("RefractoryState", "test_refractory.py"),
            ("refractory_init", "test_refractory.py"),
        )
    ),
]
