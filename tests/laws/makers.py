"""Shorthand for the rows: random inputs, and the row of a linen module."""

import jax

from tests.laws.case import Case


def normal(key, *shapes):
    """Draw one standard-normal float32 array per shape."""
    keys = jax.random.split(key, len(shapes))
    return tuple(jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True))


def module_case(name, module, *, shape, parity, **options):
    """Make the row of a linen module of one input: a function of its variables and ``x``."""
    init = jax.jit(module.init)  # for all laws: one program, not one for each of its operations

    def inputs(key):
        parameters_key, x_key = jax.random.split(key)
        x = jax.random.normal(x_key, shape)
        return init(parameters_key, x), x

    return Case(name=name, function=module.apply, inputs=inputs, parity=parity, **options)
