from jaxnn.claims import Check, Claim


def identities(key):
    return [Check("one", 1.0, "=", 1.0)]


CLAIM = Claim(
    name="b-lives", title="On Lives", year=2005, says="others go on", identities=identities
)
