import numpy as np

from jaxnn.claims import Check, Claim


def identities(key):
    return [Check("sum", float(np.sum([0.5, 0.5])), "=", 1.0, 1e-6)]


def agreements(key):
    np.reshape(np.ones(3), (2, 2))
    return []


CLAIM = Claim(
    name="tiny-raises",
    title="On Shapes",
    year=2003,
    says="three is two by two",
    identities=identities,
    agreements=agreements,
)
