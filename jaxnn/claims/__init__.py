"""What the papers say, as experiments that run: one claim a file, in a folder per family.

A :class:`Claim` names a paper and says, in functions of a random key, how the library bears
it out; each returns :class:`Check` values. ``jaxnn claims run NAME`` runs one; in Python:

    from jaxnn import claims

    registry = claims.find_claims()
    claims.run_claim(registry.claims["sigmoid-attention"], seed=7)["state"]

A new claim is a new file ``jaxnn/claims/<family>/<mechanism>.py`` that defines ``CLAIM``.
"""

from jaxnn.claims._claim import PARTS as PARTS
from jaxnn.claims._claim import Check as Check
from jaxnn.claims._claim import Claim as Claim
from jaxnn.claims._evidence import CheckEvidence as CheckEvidence
from jaxnn.claims._evidence import Evidence as Evidence
from jaxnn.claims._evidence import board as board
from jaxnn.claims._evidence import read_evidence as read_evidence
from jaxnn.claims._evidence import write_evidence as write_evidence
from jaxnn.claims._registry import Registry as Registry
from jaxnn.claims._registry import find_claims as find_claims
from jaxnn.claims._render import markdown_page as markdown_page
from jaxnn.claims._render import text_block as text_block
from jaxnn.claims._runner import run_claim as run_claim
from jaxnn.claims._runner import run_claims as run_claims

__all__ = [
    "Check",
    "CheckEvidence",
    "Claim",
    "Evidence",
    "PARTS",
    "Registry",
    "board",
    "find_claims",
    "markdown_page",
    "read_evidence",
    "run_claim",
    "run_claims",
    "text_block",
    "write_evidence",
]
