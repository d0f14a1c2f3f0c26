"""Benchmarks of known speed: sleeping takes as long as it says, whatever the machine."""

import time

import jax.numpy as jnp

from benchmarks._harness import Benchmark, Entry, Work


def sleeper(seconds, value=1.0):
    """Make an entry that sleeps and then returns ``value``."""

    def call():
        time.sleep(seconds)
        return jnp.full(3, value)

    return Entry(make=lambda: Work(call=call))


def toy(ours=0.002, limit=None, **others):
    """Make a benchmark of sleepers."""
    return Benchmark(
        name="toy",
        ours=sleeper(ours),
        others=others,
        limit=None if limit is None else sleeper(limit, value=7.0),
        shapes={"naps": 1},
    )


def absent():
    """Make an entry whose package nobody has; it must never be built."""

    def make():
        raise AssertionError("an entry whose packages are missing was built")

    return Entry(make=make, needs=("json", "no_such_package"))
