r"""Evolved spiking networks take the place of a PID controller.

A point mass with drag and a constant force (a blimp that is not neutrally buoyant) follows its
set point, which moves from one height to another with a time constant of 2.5 s, for 20 s in
steps of 0.05 s:

.. math:: \dot v = u - 0.5 v + f, \quad \dot z = v, \quad
    u = K_p e + K_d \dot e + K_i \int e, \quad e = r - z

with gains 1, 1.5 and 0.2. As in the paper, one network of 80 current-based leaky neurons mimics
the proportional and derivative part, another the integral, and their outputs are summed. A
network gets 6 e as a current, through one weight and bias a neuron; weights, time constants and
thresholds of all neurons, and the readout's weights and time constant, 481 numbers, are evolved
by the diagonal CMA-ES (the paper does not say which evolutionary algorithm), 128 a generation
for 200 generations, to minimise the square error over the target's variance, plus 1 less
Pearson's correlation, on 24 runs of the PID controller. As many other runs test them, open loop
(they see what the PID saw) and in its place.

The fast network misses its bound: seeds 0, 1, 2 give correlations of 0.84, 0.85 and 0.84 with the
PD command (0.9 wanted; the error alone has about 0.85), of which 80 neurons with random time
constants and the best linear readout reach 0.91 on the runs they were fitted to. The integral's
network has 0.996, 0.995 and 0.997, and in the loop the two hold the height to 1.1 to 1.5 times
the PID's error. Tried before: eight runs (seeds 0, 1, 2: 0.78, 0.83, 0.85, and once 2.7 times the
PID's error), and a first setting that failed everything (seed 0: 0.08 and 0.37), whose set points
jumped, whose neurons were silent for small errors, and whose readout's gain hung on its time
constant, which drove the integral's network away from slow readouts. The setting between the two
was sought by the fitness on training runs.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.layers import spiking
from jaxnn.train import evolution

STEPS, DT, DRAG, FOLLOW = 400, 0.05, 0.5, 2.5
KP, KD, KI = 1.0, 1.5, 0.2
NEURONS, RUNS, POPULATION, GENERATIONS, SIGMA = 80, 24, 128, 200, 0.03
GAIN = 6.0  # errors have a standard deviation of about 1/6
LAST = 100  # steps over which the steady-state error is taken


class Network(NamedTuple):
    """A spiking network from one error to one command.

    Attributes:
      weight: of the error, ``(neurons,)``.
      bias: constant current, ``(neurons,)``.
      current: logit of the synaptic current's decay, ``(neurons,)``.
      membrane: logit of the membrane's, ``(neurons,)``.
      threshold: before the softplus, ``(neurons,)``.
      readout: weights, ``(neurons,)``.
      slow: a tenth of the logit of the readout's decay.
    """

    weight: jax.Array
    bias: jax.Array
    current: jax.Array
    membrane: jax.Array
    threshold: jax.Array
    readout: jax.Array
    slow: jax.Array


def start(random: np.random.Generator) -> Network:
    """Draw a network: half the neurons hear errors above zero, half below."""
    sign = np.resize([1.0, -1.0], NEURONS)
    values = {
        "weight": sign * random.uniform(0.1, 1.0, NEURONS),
        "bias": random.uniform(-0.5, 1.0, NEURONS),
        "current": random.normal(size=NEURONS),
        "membrane": 1 + random.normal(size=NEURONS),
        "threshold": np.full(NEURONS, 0.5),
        "readout": np.zeros(NEURONS),
        "slow": 0.2,
    }
    return Network(**{name: jnp.asarray(value, jnp.float32) for name, value in values.items()})


class State(NamedTuple):
    """What a network remembers: its neurons, and its readout."""

    neurons: spiking.SynapticState
    command: jax.Array


def rest(shape: tuple[int, ...]) -> State:
    """Give the state of networks that have heard nothing yet."""
    return State(spiking.synaptic_init((*shape, NEURONS)), jnp.zeros(shape))


def step(network: Network, state: State, error: jax.Array) -> tuple[State, jax.Array]:
    """Give the next command for an error, both ``(*batch)``."""
    ones = (1,) * error.ndim
    weight, bias = (p.reshape(*ones, NEURONS) for p in (network.weight, network.bias))
    drive = GAIN * error[..., None] * weight + bias
    neurons, spikes = spiking.synaptic_step(
        state.neurons,
        drive,
        jax.nn.sigmoid(network.current),
        jax.nn.sigmoid(network.membrane),
        threshold=jax.nn.softplus(network.threshold),
    )
    keep = jax.nn.sigmoid(10 * network.slow)
    command = keep * state.command + (1 - keep) * (spikes @ network.readout)
    return State(neurons, command), command


def commands(network: Network, errors: jax.Array) -> jax.Array:
    """Run open loop: ``(time, runs)`` to ``(time, runs)``."""
    return lax.scan(partial(step, network), rest(errors.shape[1:]), errors)[1]


def unfitness(network: Network, errors: jax.Array, target: jax.Array) -> jax.Array:
    """Square error over the variance, plus one less the correlation."""
    found = commands(network, errors)
    return jnp.mean((found - target) ** 2) / jnp.var(target) + 1 - pearson(found, target)


def pearson(a: jax.Array, b: jax.Array) -> jax.Array:
    """Correlate two sets of commands."""
    a, b = a - jnp.mean(a), b - jnp.mean(b)
    return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a**2) * jnp.sum(b**2) + 1e-12)


class Plan(NamedTuple):
    """What the mass is to follow, and what pushes it: ``(time, runs)`` and ``(runs,)``."""

    setpoint: jax.Array
    force: jax.Array


def plan(random: np.random.Generator) -> Plan:
    """Draw set points that follow a goal, which changes once, and forces of either sign."""
    from scipy.signal import lfilter

    first, second = random.uniform(-1, 1, (2, RUNS))
    change = random.integers(STEPS // 4, STEPS // 2, RUNS)
    goal = np.where(np.arange(STEPS)[:, None] < change[None], first, second)
    gain = DT / FOLLOW
    setpoint = lfilter([gain], [1, gain - 1], goal, axis=0)
    force = random.choice([-1, 1], RUNS) * random.uniform(0.2, 0.5, RUNS)
    return Plan(jnp.asarray(setpoint, jnp.float32), jnp.asarray(force, jnp.float32))


def fly(controller, memory, plan: Plan) -> tuple[jax.Array, jax.Array]:
    """Close the loop: errors and commands, ``(time, runs)`` and whatever the controller gives."""

    def advance(carry, setpoint):
        memory, z, v = carry
        error = setpoint - z
        memory, parts = controller(memory, error)
        u = sum(parts)
        v = v + DT * (u - DRAG * v + plan.force)
        return (memory, z + DT * v, v), (error, jnp.stack(parts))

    still = jnp.zeros_like(plan.force)
    _, (errors, parts) = lax.scan(advance, (memory, still, still), plan.setpoint)
    return errors, parts


def pid(memory, error):
    """Give the proportional and derivative part together, and the integral."""
    integral, before = memory
    integral = integral + DT * error
    slope = jnp.where(jnp.isnan(before), 0.0, (error - before) / DT)
    return (integral, error), (KP * error + KD * slope, KI * integral)


def at_rest() -> tuple[jax.Array, jax.Array]:
    """Give the PID's integral, and the error before, of which there is none."""
    return jnp.zeros(RUNS), jnp.full(RUNS, jnp.nan)


def steady(errors: jax.Array) -> jax.Array:
    """Average the absolute error over the last steps."""
    return jnp.mean(jnp.abs(errors[-LAST:]))


def identities(key: jax.Array) -> list[Check]:
    """The population vmapped equals its members one by one."""
    random = generator(key)
    network = start(random)
    errors = jnp.asarray(random.normal(size=(20, 3)), jnp.float32)
    target = jnp.cumsum(errors, axis=0)
    population = evolution.sep_cma_es(5).ask(evolution.sep_cma_es(5).init(network), key)
    loss = jax.jit(lambda network: unfitness(network, errors, target))
    together = jax.jit(jax.vmap(loss))(population)
    alone = [loss(jax.tree.map(lambda leaf, i=i: leaf[i], population)) for i in range(5)]
    off = np.abs(np.asarray(together) - np.asarray(alone)).max()
    return [Check("fitness of a population: distance from its members'", off, "<=", 1e-5)]


def agreements(key: jax.Array) -> list[Check]:
    """The network against a loop in NumPy."""
    random = generator(key)
    network = start(random)._replace(readout=jnp.asarray(random.normal(size=NEURONS), jnp.float32))
    p = jax.tree.map(partial(np.asarray, dtype=np.float64), network)
    errors = random.normal(size=40)
    j, v, u, want, fired = np.zeros(NEURONS), np.zeros(NEURONS), 0.0, [], 0

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    theta = np.log1p(np.exp(p.threshold))
    for error in errors:
        j = sigmoid(p.current) * j + GAIN * error * p.weight + p.bias
        v = sigmoid(p.membrane) * v + j
        spikes = (v > theta).astype(float)
        v = v - theta * spikes
        keep = sigmoid(10 * p.slow)
        u = keep * u + (1 - keep) * (spikes @ p.readout)
        fired += spikes.sum()
        want.append(u)
    got = jax.jit(commands)(network, jnp.asarray(errors, jnp.float32)[:, None])[:, 0]
    return [
        Check("commands: distance from NumPy's", np.abs(got - np.array(want)).max(), "<=", 1e-4),
        Check("spikes in that test", fired, ">", 100),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Evolve both networks; try them on other runs, open and closed loop."""
    random = generator(key)
    flights, tests = plan(random), plan(random)
    starts = jax.tree.map(lambda *leaves: jnp.stack(leaves), start(random), start(random))

    @jax.jit
    def evolve(starts, flights, tests):
        errors, parts = fly(pid, at_rest(), flights)
        strategy = evolution.sep_cma_es(POPULATION, sigma=SIGMA)

        def one(start, target, key):
            loss = partial(unfitness, errors=errors, target=target)
            return evolution.minimize(strategy, loss, start, key=key, generations=GENERATIONS)[
                0
            ].best

        best = jax.vmap(one, in_axes=(0, 1, 0))(starts, parts, jax.random.split(key))
        seen, wanted = fly(pid, at_rest(), tests)
        found = jax.vmap(lambda network: commands(network, seen))(best)
        alike = jax.vmap(pearson, in_axes=(0, 1))(found, wanted)

        def controller(memory, error):
            memory, parts = jax.vmap(step, in_axes=(0, 0, None))(best, memory, error)
            return memory, tuple(parts)

        memory = jax.vmap(lambda _: rest((RUNS,)))(jnp.arange(2))
        flown, _ = fly(controller, memory, tests)
        only, _ = fly(lambda memory, error: (memory, (KP * error,)), None, tests)
        return alike, steady(flown), steady(seen), steady(only)

    alike, spiking_error, pid_error, p_error = evolve(starts, flights, tests)
    return [
        Check("correlation with the PD command", alike[0], ">=", 0.9),
        Check("correlation with the I command", alike[1], ">=", 0.9),
        Check("steady-state error over PID's", spiking_error / pid_error, "<=", 2),
        Check("steady-state error over P's alone", spiking_error / p_error, "<=", 0.5),
    ]


CLAIM = Claim(
    name="evolved-spiking-controller",
    title="Evolving Spiking Neural Networks to Mimic PID Control for Autonomous Blimps",
    year=2023,
    says="two evolved networks of 80 spiking neurons follow a PID controller's commands and take "
    "its place, with little steady-state error",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
