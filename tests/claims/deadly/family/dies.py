import os

from jaxnn.claims import Claim


def identities(key):
    os._exit(9)  # as when the memory is exhausted


CLAIM = Claim(
    name="a-dies", title="On Ends", year=2004, says="processes end", identities=identities
)
