import jax

from jaxnn.claims import Check, Claim


def identities(key):
    return [Check("one", 1.0, "=", 1.0), Check("third, in thirds", 1.0000001, "=", 1, 1e-6)]


def effects(key):
    return [Check("a draw below one", jax.random.uniform(key), "<", 1.0)]


CLAIM = Claim(
    name="tiny-holds",
    title="On Numbers | That Are One",
    year=2001,
    says="one is one",
    identities=identities,
    effects=effects,
)
