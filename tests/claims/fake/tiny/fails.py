from jaxnn.claims import Check, Claim


def effects(key):
    return [Check("low enough", 0.5, "<=", 1.0), Check("points gained", 1.25, ">=", 2.0)]


CLAIM = Claim(
    name="tiny-fails",
    title=("A First Paper", "A Second Paper"),
    year=2002,
    says="training gains two points",
    effects=effects,
)
