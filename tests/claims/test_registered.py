"""Every claim of the library: sound on paper, and held by its experiment."""

import subprocess
import sys

import pytest

from jaxnn import claims
from jaxnn.cli._claims import ROOT

REGISTRY = claims.find_claims()
EVIDENCE = ROOT / "docs" / "claims.json"
PROOFS = ("identities", "agreements")


# With an empty cache these take longer than five seconds each before their effects are begun;
# `make claims` runs them, here and whole.
LONG = frozenset(
    [
        "activation-catalogue",
        "adaptive-information",
        "attention-views",
        "b-cosification",
        "classification-order",
        "clipped-softmax",
        "collinear-attention",
        "compressive-transformer",
        "convergent-learning",
        "crrelu",
        "deconvnet",
        "feature-merging",
        "gpt-neox",
        "harmonic-loss",
        "in-context-regression",
        "information-plane",
        "lazy-neurons",
        "linear-network-collapse",
        "lossy-compression-information",
        "low-rank-passthrough",
        "lssl",
        "massive-activations",
        "mgno",
        "monet",
        "multifaceted-visualization",
        "neural-collapse-transfer",
        "neuron-roles",
        "opt",
        "pade-neuron",
        "pq-index",
        "relevance-propagation",
        "rise",
        "s-kan",
        "self-referential-weight-matrix",
        "sigmoid-attention",
        "temporal-perspectives",
        "universality-of-linear-recurrences",
        "z-loss",
    ]
)


def under(claim_list, *, slow=frozenset()):
    rows = [
        pytest.param(claim, id=claim.name, marks=[pytest.mark.slow] * (claim.name in slow))
        for claim in claim_list
    ]
    return pytest.mark.parametrize("claim", rows)


ALL = list(REGISTRY.claims.values())


def failed(row):
    return [check for check in row["checks"] if not check["ok"]]


def test_every_module_has_its_claim():
    assert REGISTRY.broken == {}
    assert set(REGISTRY.claims) >= LONG


def test_finding_the_claims_is_light():
    code = (
        "import sys; from jaxnn import claims; claims.find_claims(); "
        "print(*{'sklearn', 'matplotlib', 'torch', 'grain'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "\n", result.stdout + result.stderr


@under(ALL)
def test_papers_are_named(claim):
    assert all(title == " ".join(title.split()) for title in claim.titles)
    assert 1940 < claim.year < 2030
    assert not claim.says.endswith(".")


@under([claim for claim in ALL if set(PROOFS) & set(claim.parts)], slow=LONG)
def test_identities_and_agreements_hold(claim):
    row = claims.run_claim(claim, seed=0, parts=PROOFS)
    assert row["state"] == "holds", failed(row)


def effects_hold(claim):
    row = claims.run_claim(claim, seed=0, parts=("effects",))
    assert not any(" raised " in check["name"] for check in failed(row)), failed(row)
    recorded = {r["name"]: r for r in claims.read_evidence(EVIDENCE)} if EVIDENCE.exists() else {}
    if failed(row) and recorded.get(claim.name, {}).get("state") == "fails":
        pytest.xfail(f"does not hold at this scale, and the score board says so: {failed(row)}")
    assert row["state"] == "holds", failed(row)


@under([claim for claim in ALL if claim.effects and claim.quick])
def test_quick_effects_hold(claim):
    effects_hold(claim)


@pytest.mark.slow
@under([claim for claim in ALL if claim.effects and not claim.quick])
def test_slow_effects_hold(claim):
    effects_hold(claim)
