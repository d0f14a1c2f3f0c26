"""What the papers say, as experiments that run: one claim a file, in a folder per family.

A :class:`Claim` names a paper and says, in functions of a random key, how the library bears
it out; each returns :class:`Check` values. ``jaxnn claims run NAME`` runs one.
"""

from jaxnn.claims._claim import Check as Check
from jaxnn.claims._claim import Claim as Claim

__all__ = ["Check", "Claim"]
