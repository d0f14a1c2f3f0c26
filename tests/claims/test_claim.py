import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.claims import Check, Claim


@pytest.mark.parametrize(
    ("value", "relation", "bound", "ok"),
    [
        (1.0, "<=", 1.0, True),
        (1.1, "<=", 1.0, False),
        (1.0, ">=", 1.0, True),
        (0.9, ">=", 1.0, False),
        (1.0, "<", 1.0, False),
        (0.9, "<", 1.0, True),
        (1.0, ">", 1.0, False),
        (1.1, ">", 1.0, True),
        (1.0, "=", 1.0, True),
        (1.0 + 1e-9, "=", 1.0, False),
    ],
)
def test_relations(value, relation, bound, ok):
    assert Check("x", value, relation, bound).ok is ok


@pytest.mark.parametrize("relation", ["=", "<=", ">=", "<", ">"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_holds(value, relation):
    assert not Check("x", value, relation, 0.0).ok


def test_equality_is_two_sided_to_its_tolerance():
    assert [Check("x", v, "=", 1.0, 0.25).ok for v in (0.7, 0.75, 1.25, 1.3)] == [
        False,
        True,
        True,
        False,
    ]


def test_arrays_of_one_entry_are_numbers():
    check = Check("x", jnp.float32(0.5), "=", np.float64(0.5))
    assert (type(check.value), type(check.bound), check.ok) == (float, float, True)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Check("", 1.0, "=", 1.0), ValueError, "`name` is empty"),
        (lambda: Check("x", 1.0, "==", 1.0), ValueError, "`relation` is '=='; it needs one of"),
        (lambda: Check("x", 1.0, "=", np.nan), ValueError, "`bound` is nan"),
        (lambda: Check("x", 1.0, "=", 1.0, -1.0), ValueError, "`tolerance` is -1.0"),
        (lambda: Check("x", 1.0, "<=", 1.0, 0.1), ValueError, "0.1 with relation '<='"),
        (lambda: Check("x", np.ones(2), "=", 1.0), TypeError, "`value` is an array .* one number"),
        (lambda: Check("x", None, "=", 1.0), TypeError, r"Check\('x'\): `value` is None"),
    ],
)
def test_senseless_checks_are_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


SOUND = {"name": "a-b2", "title": "T", "year": 2000, "says": "s", "effects": lambda key: []}


def test_a_claim_lists_its_parts_in_order_and_its_titles():
    claim = Claim(**SOUND, identities=SOUND["effects"])
    assert list(claim.parts) == ["identities", "effects"]
    assert claim.titles == ("T",)
    assert Claim(**{**SOUND, "title": ("A", "B")}).titles == ("A", "B")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": "Two Words"}, "`name` is 'Two Words'; it needs lower-case words"),
        ({"title": ""}, "`title` is ''"),
        ({"title": ()}, r"`title` is \(\)"),
        ({"title": ("A", " ")}, "needs a paper's title"),
        ({"year": 24}, "`year` is 24"),
        ({"says": " "}, "`says` is empty"),
        ({"effects": None}, "are all None; it needs at least one"),
    ],
)
def test_senseless_claims_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        Claim(**{**SOUND, **changes})
