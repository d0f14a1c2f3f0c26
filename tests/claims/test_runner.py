import json
import math

import jax
import numpy as np
import pytest

from jaxnn import claims
from jaxnn.claims import Check, Claim

ROW = ["name", "title", "year", "says", "state", "seconds", "seed", "checks"]
FAKE = "tests.claims.fake"


@pytest.fixture(scope="module")
def fake():
    return claims.find_claims(FAKE)


def claim(**parts):
    return Claim(name="made-up", title="T", year=2000, says="s", **parts)


def test_claims_are_found_sorted_without_private_modules(fake):
    assert list(fake.claims) == ["tiny-fails", "tiny-holds", "tiny-raises"]
    assert fake.homes["tiny-holds"] == f"{FAKE}.tiny.holds"
    assert fake.broken == {}


def test_broken_modules_are_reported_and_hide_no_other():
    found = claims.find_claims("tests.claims.broken")
    assert list(found.claims) == ["tiny-holds"]
    reasons = {module.rpartition(".")[2]: reason for module, reason in found.broken.items()}
    assert sorted(reasons) == ["nothing", "second", "unimportable"]
    assert "defines no `CLAIM" in reasons["nothing"]
    assert "has the name 'tiny-holds', as has tests.claims.broken.family.first" in reasons["second"]
    assert "ModuleNotFoundError" in reasons["unimportable"]


def test_evidence_has_the_promised_form(fake):
    row = claims.run_claim(fake.claims["tiny-holds"], seed=7)
    assert list(row) == ROW
    assert (row["state"], row["seed"], row["year"]) == ("holds", 7, 2001)
    assert row["seconds"] >= 0
    assert row["checks"][1] == {
        "name": "third, in thirds",
        "value": 1.0000001,
        "relation": "=",
        "bound": 1.0,
        "ok": True,
        "tolerance": 1e-6,
    }
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_one_failed_check_fails_the_claim(fake):
    row = claims.run_claim(fake.claims["tiny-fails"])
    assert row["state"] == "fails"
    assert [check["ok"] for check in row["checks"]] == [True, False]
    assert (row["title"], row["titles"]) == ("A First Paper", ["A First Paper", "A Second Paper"])


def test_an_exception_fails_the_claim_and_names_its_line(fake):
    row = claims.run_claim(fake.claims["tiny-raises"])
    assert row["state"] == "fails"
    assert [check["ok"] for check in row["checks"]] == [True, False]
    assert (
        "agreements raised ValueError at raises.py:11: cannot reshape" in row["checks"][1]["name"]
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("part", "match"),
    [
        (lambda key: [], "effects returned no checks"),
        (lambda key: [1.0], "effects returned a float; it needs a list of Check"),
        (lambda key: None, "effects raised TypeError"),
        (lambda key: exit(3), "effects raised SystemExit"),
    ],
)
def test_senseless_results_fail_the_claim(part, match):
    row = claims.run_claim(claim(effects=part))
    assert row["state"] == "fails"
    assert match in row["checks"][0]["name"]


def test_what_is_not_finite_is_null_and_fails():
    row = claims.run_claim(claim(effects=lambda key: [Check("x", math.nan, "<=", 1.0)]))
    assert row["checks"][0]["value"] is None
    assert row["state"] == "fails"


def test_each_part_has_a_key_of_its_own_whichever_run():
    draw = lambda key: [Check("draw", jax.random.uniform(key), "<", 1.0)]  # noqa: E731
    whole = claims.run_claim(claim(identities=draw, effects=draw), seed=3)
    values = [check["value"] for check in whole["checks"]]
    assert values[0] != values[1]
    part = claims.run_claim(claim(identities=draw, effects=draw), seed=3, parts=("effects",))
    assert [check["value"] for check in part["checks"]] == values[1:]
    other = claims.run_claim(claim(identities=draw, effects=draw), seed=4)
    assert not np.isin([check["value"] for check in other["checks"]], values).any()


def test_a_claim_without_the_part_is_unrun(fake):
    row = claims.run_claim(fake.claims["tiny-fails"], parts=("identities",))
    assert (row["state"], row["seed"], row["checks"]) == ("unrun", None, [])


def test_unknown_parts_and_seeds_are_named(fake):
    with pytest.raises(ValueError, match=r"run_claim: `parts` is \('proofs',\)"):
        claims.run_claim(fake.claims["tiny-holds"], parts=("proofs",))
    with pytest.raises(ValueError, match="run_claim: `seed` is -1"):
        claims.run_claim(fake.claims["tiny-holds"], seed=-1)


def test_run_claims_keeps_the_order_and_reports_in_it(fake):
    told = []
    names = ("tiny-raises", "tiny-holds")
    rows = claims.run_claims(names, registry=fake, report=told.append)
    assert [row["name"] for row in rows] == list(names)
    assert told == rows


def test_unknown_names_are_answered_with_the_nearest(fake):
    with pytest.raises(ValueError, match=r"no claim is named 'tiny-hold' \(nearest: tiny-holds"):
        claims.run_claims(("tiny-hold",), registry=fake)
    with pytest.raises(ValueError, match="`jobs` is 0"):
        claims.run_claims(("tiny-holds",), jobs=0, registry=fake)


def test_processes_agree_and_a_dead_one_fails_its_claim_alone():
    deadly = claims.find_claims("tests.claims.deadly")
    told = []
    rows = claims.run_claims(("a-dies", "b-lives"), 5, 2, registry=deadly, report=told.append)
    assert [row["state"] for row in rows] == ["fails", "holds"]
    assert "process died" in rows[0]["checks"][0]["name"]
    assert [row["seed"] for row in rows] == [5, 5]
    assert told == rows


def test_evidence_files_go_round_and_are_replaced_in_one_step(tmp_path, fake):
    rows = claims.run_claims(tuple(fake.claims), registry=fake)
    path = tmp_path / "claims.json"
    claims.write_evidence(path, rows[::-1])
    # The files' form is fixed: the tolerance is shown on the terminal alone.
    kept = json.loads(json.dumps(rows))
    for row in kept:
        for check in row["checks"]:
            check.pop("tolerance", None)
            assert list(check) == ["name", "value", "relation", "bound", "ok"]
    assert json.loads(path.read_text()) == {"claims": kept}
    with pytest.raises(ValueError, match="Out of range float"):
        claims.write_evidence(path, [{**rows[0], "seconds": math.nan}])
    assert claims.read_evidence(path) == kept
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "[]", '{"claims": [{"name": "x"}]}', '{"claims": 1}'])
def test_other_files_are_no_evidence(tmp_path, text):
    path = tmp_path / "claims.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"claims\.json .*move it away or name another file"):
        claims.read_evidence(path)


def test_the_board_has_every_claim_once_and_none_that_is_gone(fake):
    run = claims.run_claim(fake.claims["tiny-holds"])
    gone = {**run, "name": "gone"}
    rows = claims.board(fake.claims, [{**run, "says": "something else"}, gone])
    assert [(row["name"], row["state"]) for row in rows] == [
        ("tiny-fails", "unrun"),
        ("tiny-holds", "holds"),
        ("tiny-raises", "unrun"),
    ]
    assert rows[1]["says"] == "one is one"
    assert all(set(row) - {"titles"} == set(ROW) for row in rows)
