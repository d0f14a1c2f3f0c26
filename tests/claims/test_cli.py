import contextlib
import io
import json

import pytest
import tyro

from jaxnn import claims
from jaxnn.cli._claims import (
    ClaimsListOptions,
    ClaimsRenderOptions,
    ClaimsRunOptions,
    claims_list,
    claims_render,
    claims_run,
)

FAKE = "tests.claims.fake"


@pytest.fixture
def root(tmp_path):
    """A checkout with markers in its README and the evidence of two of three claims."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# x\n\n<!-- claims -->old<!-- /claims --> of them.\n")
    registry = claims.find_claims(FAKE)
    rows = claims.run_claims(("tiny-fails", "tiny-holds"), 7, registry=registry)
    claims.write_evidence(
        tmp_path / "docs" / "claims.json", [{**row, "seconds": 1.5} for row in rows]
    )
    return tmp_path


def run(*names, **options):
    return claims_run(ClaimsRunOptions(names=names, **options), package=FAKE)


def test_run_shows_a_claim_as_designed(capsys):
    assert run("tiny-holds", seed=7) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [
        "tiny-holds   On Numbers | That Are One (2001)",
        "  says   one is one",
        "  ok     one               1         =  1",
        "  ok     third, in thirds  1         =  1 to 1e-06",
        f"  ok     a draw below one  {lines[4][27:35]}  <  1",
    ]
    assert lines[-1].startswith("  HOLDS  3 of 3 checks, ")
    assert lines[-1].endswith(" s, seed 7")


def test_run_shows_failures_and_ends_with_status_1(capsys):
    assert run("tiny-fails", "tiny-holds") == 1
    out = capsys.readouterr().out
    assert "tiny-fails   A First Paper (2002)\n  also   A Second Paper\n" in out
    assert "  FAIL   points gained  1.25  >= 2\n  FAILS  1 of 2 checks" in out
    assert out.rstrip().endswith("2 claims: 1 hold, 1 fail (tiny-fails)")


@pytest.mark.parametrize(
    ("names", "options", "match"),
    [
        (("tiny-hold",), {}, "no claim is named 'tiny-hold' (nearest: tiny-holds"),
        ((), {}, "give the names of claims or `--all`"),
        (("tiny-holds",), {"all": True}, "give the names of claims or `--all`"),
        (("tiny-holds",), {"jobs": 0}, "`--jobs` is 0"),
        (("tiny-holds",), {"seed": -1}, "outside"),
    ],
)
def test_misuse_is_one_line_and_status_2(capsys, names, options, match):
    assert run(*names, **options) == 2
    captured = capsys.readouterr()
    assert match in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not captured.out


def test_files_that_cannot_be_written_are_found_before_anything_runs(tmp_path, capsys):
    (tmp_path / "other.json").write_text("{}")
    for path in (tmp_path, tmp_path / "none" / "x.json", tmp_path / "other.json"):
        assert run("tiny-holds", json=path) == 2
    assert not capsys.readouterr().out
    assert (tmp_path / "other.json").read_text() == "{}"


def test_evidence_of_other_claims_is_kept(tmp_path):
    path = tmp_path / "claims.json"
    assert run("tiny-holds", seed=1, json=path) == 0
    assert run("tiny-fails", seed=2, json=path) == 1
    assert run("tiny-holds", seed=3, json=path) == 0
    rows = claims.read_evidence(path)
    assert [(row["name"], row["seed"]) for row in rows] == [("tiny-fails", 2), ("tiny-holds", 3)]
    # A whole run drops the claims that are gone.
    claims.write_evidence(path, [*rows, {**rows[0], "name": "gone"}])
    assert run(all=True, json=path) == 1
    names = [row["name"] for row in claims.read_evidence(path)]
    assert names == ["tiny-fails", "tiny-holds", "tiny-raises"]


def test_of_several_seeds_the_file_keeps_the_first_that_fails(tmp_path, monkeypatch, capsys):
    def on_seed(claim, seed, parts=claims.PARTS):
        row = claims.run_claim(claim, seed, parts)
        return {**row, "state": "fails" if seed in (2, 3) else "holds"}

    monkeypatch.setattr("jaxnn.claims._runner.run_claim", on_seed)
    path = tmp_path / "claims.json"
    assert run("tiny-holds", seeds=(1, 2, 3, 4), json=path) == 1
    assert claims.read_evidence(path)[0]["seed"] == 2
    assert run("tiny-holds", seeds=(4, 5, 5), json=path) == 0
    assert claims.read_evidence(path)[0]["seed"] == 4
    assert capsys.readouterr().out.count("tiny-holds   On") == 6


def test_a_broken_module_fails_a_whole_run_and_warns(capsys):
    assert claims_run(ClaimsRunOptions(all=True), package="tests.claims.broken") == 1
    assert "unimportable" in capsys.readouterr().err


def test_list_shows_the_last_evidence(root, capsys):
    assert claims_list(ClaimsListOptions(root=root), package=FAKE) == 0
    assert capsys.readouterr().out.splitlines() == [
        "FAILS  tiny-fails   2002  A First Paper",
        "FAILS  tiny-fails   2002  A Second Paper",
        "HOLDS  tiny-holds   2001  On Numbers | That Are One",
        "UNRUN  tiny-raises  2003  On Shapes",
        "3 claims: 1 hold, 1 fail, 1 not run yet",
    ]


def test_list_as_json_is_the_evidence_without_checks(root, capsys):
    assert claims_list(ClaimsListOptions(json=True, root=root), package=FAKE) == 0
    rows = json.loads(capsys.readouterr().out)["claims"]
    assert [row["state"] for row in rows] == ["fails", "holds", "unrun"]
    assert set(rows[1]) == {"name", "title", "year", "says", "state", "seconds", "seed"}
    assert (rows[2]["seconds"], rows[2]["seed"]) == (None, None)


def test_list_by_paper_ignores_case_and_looks_at_all_titles(root, capsys):
    options = ClaimsListOptions(paper="SECOND", json=True, root=root)
    assert claims_list(options, package=FAKE) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["claims"]] == ["tiny-fails"]
    assert claims_list(ClaimsListOptions(paper="zzz", root=root), package=FAKE) == 0
    assert "No claim is of a paper whose title contains 'zzz'" in capsys.readouterr().out


def test_list_without_evidence_is_unrun_and_damaged_evidence_is_said(tmp_path, capsys):
    assert claims_list(ClaimsListOptions(root=tmp_path), package=FAKE) == 0
    assert "3 claims: 0 hold, 3 not run yet" in capsys.readouterr().out
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "claims.json").write_text("{")
    assert claims_list(ClaimsListOptions(root=tmp_path), package=FAKE) == 2
    assert "does not hold the evidence" in capsys.readouterr().err


def test_render_writes_page_and_count_and_check_sees_what_is_stale(root, capsys):
    check = ClaimsRenderOptions(check=True, root=root)
    assert claims_render(check, package=FAKE) == 1
    assert "docs/claims.md is not what" in capsys.readouterr().out
    assert not (root / "docs" / "claims.md").exists()
    assert claims_render(ClaimsRenderOptions(root=root), package=FAKE) == 0
    assert claims_render(check, package=FAKE) == 0
    assert (root / "README.md").read_text() == (
        "# x\n\n<!-- claims -->3 claims: 1 hold, 1 fail, 1 not run yet, from 4 papers"
        "<!-- /claims --> of them.\n"
    )
    page = (root / "docs" / "claims.md").read_text()
    assert "| HOLDS | [tiny-holds](#tiny-holds) | On Numbers \\| That Are One | 2001 |" in page
    assert "| **FAIL** | points gained | 1.25 | \\>= | 2 |" in page
    assert "**FAILS**: 1 of 2 checks, 1.5 s, seed 7" in page
    assert "## tiny-raises\n\n*On Shapes* (2003)\n\nthree is two by two\n\n**UNRUN**\n" in page


def test_markers_on_lines_of_their_own_stay_there(root):
    (root / "README.md").write_text("# x\n\n<!-- claims -->\n<!-- /claims -->\n")
    for _ in range(2):
        assert claims_render(ClaimsRenderOptions(root=root), package=FAKE) == 0
        lines = (root / "README.md").read_text().splitlines()
        assert lines[2:4] == [
            "<!-- claims -->",
            "3 claims: 1 hold, 1 fail, 1 not run yet, from 4 papers",
        ]
        assert lines[4:] == ["<!-- /claims -->"]


def test_render_needs_markers_and_evidence(root, capsys):
    (root / "README.md").write_text("# x\n")
    assert claims_render(ClaimsRenderOptions(root=root), package=FAKE) == 2
    assert "no <!-- claims -->" in capsys.readouterr().err
    assert not (root / "docs" / "claims.md").exists()
    (root / "docs" / "claims.json").unlink()
    assert claims_render(ClaimsRenderOptions(root=root), package=FAKE) == 2
    assert "`make claims` writes it" in capsys.readouterr().err


def test_options_parse_as_documented():
    line = ["sigmoid-attention", "kan", "--seeds", "0", "1", "2", "--jobs", "2"]
    options = tyro.cli(ClaimsRunOptions, args=[*line, "--json", "out.json"])
    assert options.names == ("sigmoid-attention", "kan")
    assert (options.seeds, options.jobs, options.json.name) == ((0, 1, 2), 2, "out.json")
    assert tyro.cli(ClaimsRunOptions, args=["--all", "--seed", "7"]).all
    assert tyro.cli(ClaimsListOptions, args=["--json", "--paper", "kan"]).paper == "kan"
    assert tyro.cli(ClaimsRenderOptions, args=["--check"]).check
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        tyro.cli(ClaimsRunOptions, args=["--help"])
    assert "--no-all" not in text.getvalue()
    assert "Run every claim there is" in text.getvalue()
