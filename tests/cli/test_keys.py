"""`keys` makes, lists, revokes and tops up keys; a key is printed once, and what goes wrong is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import update

from qwen3_reranker.serve.accounts.key_format import generate, parse
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.accounts.tables import KEYS
from tests.cli.conftest import Run
from tests.cli.terminal import on_terminal
from tests.serve.accounts.conftest import row_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package_path: None) -> Path:
    """Commands run in an empty folder, with nothing said of keys elsewhere."""
    monkeypatch.chdir(tmp_path)
    for name in ("QWEN3_RERANKER_KEYS", "QWEN3_RERANKER_PEPPER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def listed(run: Run, *arguments: str) -> list[dict[str, object]]:
    return json.loads(run("keys", "list", "--format", "json", *arguments).out)


def test_the_key_alone_is_on_standard_output_and_opens_the_door(run: Run, folder: Path) -> None:
    outcome = run("keys", "create", "search team")
    assert outcome.code == 0
    key = outcome.out.removesuffix("\n")
    assert parse(key.encode()) == key.encode()
    assert outcome.err.startswith("note: this is key_")
    assert key not in outcome.err
    store = Store("keys.db", create=False)
    record = store.find(store.digest(key.encode()))
    store.close()
    assert record
    assert record.name == "search team"
    assert record.id in outcome.err
    assert key[16:] not in run("keys", "list").out + run("keys", "list", "--format", "table").out
    assert not any(key[16:].encode() in file.read_bytes() for file in folder.iterdir())


def test_what_a_key_may_do_is_what_was_asked_for(run: Run) -> None:
    arguments = ["--scopes", "rerank,metrics", "--models", "nano, big", "--credit", "$0.50", "--expires", "30d"]
    limits = ["--requests-per-minute", "60", "--tokens-per-minute", "100000", "--concurrency", "2"]
    made = json.loads(run("keys", "create", "ann", "--json", *arguments, *limits).out)
    assert parse(made.pop("key").encode())
    assert listed(run) == [made]
    assert made.pop("expires") > made.pop("created")
    assert {name: value for name, value in made.items() if name not in ("id", "shown")} == {
        "name": "ann",
        "state": "active",
        "scopes": ["rerank", "metrics"],
        "models": ["nano", "big"],
        "requests_per_minute": 60,
        "tokens_per_minute": 100_000,
        "concurrency": 2,
        "credit_granted": 0.5,
        "credit_used": 0.0,
        "credit_left": 0.5,
        "budget": None,
        "budget_left": None,
        "revoked": None,
        "last_used": None,
    }


@pytest.mark.parametrize("name", ["id", "shown", "beginning", "key"])
def test_a_key_is_revoked_by_any_of_its_names(run: Run, name: str) -> None:
    made = json.loads(run("keys", "create", "a", "--json").out)
    run("keys", "create", "b")
    outcome = run("keys", "revoke", {**made, "beginning": made["id"][:12]}[name])
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{made['id']} (a) is revoked since 20")
    assert {key["name"]: key["state"] for key in listed(run)} == {"a": "revoked", "b": "active"}
    again = run("keys", "revoke", made["id"])
    assert (again.code, again.out) == (0, outcome.out)
    assert again.err == f"note: {made['id']} was revoked before\n"


def test_a_top_up_adds_to_the_credit(run: Run) -> None:
    made = json.loads(run("keys", "create", "a", "--json", "--credit", "0").out)
    assert run("keys", "top-up", made["id"], "10.5").out == f"{made['id']} (a) has 10.5000 dollars left\n"
    assert run("keys", "top-up", made["shown"], "0.000000001").code == 0
    assert listed(run)[0]["credit_granted"] == 10.500000001


def test_a_change_touches_what_is_named_and_none_takes_a_limit_away(run: Run) -> None:
    made = json.loads(run("keys", "create", "a", "--json", "--concurrency", "2", "--expires", "30d").out)
    outcome = run("keys", "change", made["id"], "--name", "b", "--budget", "$12.5", "--concurrency", "none")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{made['id']} (b) has changed\n", "")
    made.pop("key")
    [key] = listed(run)
    assert key == {**made, "name": "b", "budget": 12.5, "budget_left": 12.5, "concurrency": None}
    run("keys", "change", made["shown"], "--expires", "none", "--scopes", "admin", "--models", "nano", "--credit", "3")
    [key] = listed(run)
    assert (key["expires"], key["scopes"], key["models"], key["credit_left"]) == (None, ["admin"], ["nano"], 3.0)
    assert "$12.5000 left of $12.50" in run("keys", "list", "--format", "table").out


def test_a_rotated_key_alone_is_on_standard_output(run: Run) -> None:
    made = json.loads(run("keys", "create", "a", "--json").out)
    outcome = run("keys", "rotate", made["key"], "--grace", "12h")
    new = outcome.out.removesuffix("\n")
    assert parse(new.encode()) != made["key"].encode()
    assert "the old one is valid for 43,200 seconds more" in outcome.err
    assert run("keys", "revoke", new).out.startswith(made["id"])
    outcome = run("keys", "rotate", made["id"])
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"error: {made['id']} is revoked for good; create another key\n"


def test_a_balance_below_nothing_is_explained(run: Run) -> None:
    made = json.loads(run("keys", "create", "a", "--json", "--credit", "0.001", "--budget", "1").out)
    assert run("keys", "list").err == ""
    store = Store("keys.db")
    store.write_usage([row_of(store.all_keys()[0], cost=2_000_000, time=time.time())])
    store.close()
    outcome = run("keys", "list", "--format", "table")
    assert "$0.0010 overspent" in outcome.out
    assert outcome.err.startswith(f"note: {made['id']} spent more than was left: servers that share a store")


def test_the_place_is_a_flag_or_a_variable_or_keys_db(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("keys", "create", "in the folder")
    monkeypatch.setenv("QWEN3_RERANKER_KEYS", "variable.db")
    run("keys", "create", "by the variable")
    run("keys", "create", "by the flag", "--keys", f"sqlite:///{folder}/flag.db")
    assert {name for name in os.listdir(folder) if name.endswith(".db")} == {"keys.db", "variable.db", "flag.db"}
    assert [key["name"] for key in listed(run)] == ["by the variable"]
    assert [key["name"] for key in listed(run, "--keys", "flag.db")] == ["by the flag"]
    assert [key["name"] for key in listed(run, "--keys", "keys.db")] == ["in the folder"]


def test_hashes_are_made_under_the_pepper(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWEN3_RERANKER_PEPPER", "a secret")
    key = run("keys", "create", "a").out.removesuffix("\n")
    store = Store("keys.db", b"a secret")
    assert store.find(store.digest(key.encode()))
    store.close()
    monkeypatch.setenv("QWEN3_RERANKER_PEPPER", "another")
    outcome = run("keys", "list")
    assert outcome.code == 2
    assert "another pepper" in outcome.err
    assert "a secret" not in outcome.err


WRONG = {
    "no verb": (["keys", "make"], 2, "No such verb: make"),
    "no name": (["keys", "create"], 2, "Missing argument 'NAME'"),
    "an empty name": (["keys", "create", " "], 2, "NAME must be 1 to 100 visible characters"),
    "a long name": (["keys", "create", "a" * 101], 2, "NAME must be"),
    "a name that steers": (["keys", "create", "a\x1b[2J"], 2, "NAME must be"),
    "an unknown scope": (
        ["keys", "create", "a", "--scopes", "rerank,root"],
        2,
        "--scopes must be of rerank, embeddings",
    ),
    "no scope": (["keys", "create", "a", "--scopes", ""], 2, "--scopes must be names"),
    "a hole in models": (["keys", "create", "a", "--models", "a,,b"], 2, "--models must be names"),
    "no requests": (["keys", "create", "a", "--requests-per-minute", "0"], 2, "must be a whole number from 1"),
    "negative tokens": (["keys", "create", "a", "--tokens-per-minute", "-5"], 2, "must be a whole number from 1"),
    "no concurrency": (["keys", "create", "a", "--concurrency", "0"], 2, "--concurrency must be a whole number"),
    "too many requests": (["keys", "create", "a", "--requests-per-minute", "9" * 20], 2, "from 1 to 1,000,000,000,000"),
    "credit in words": (["keys", "create", "a", "--credit", "ten"], 2, "--credit must be dollars"),
    "negative credit": (["keys", "create", "a", "--credit", "-1"], 2, "--credit must be dollars"),
    "endless credit": (["keys", "create", "a", "--credit", "inf"], 2, "--credit must be dollars"),
    "no number": (["keys", "create", "a", "--credit", "nan"], 2, "--credit must be dollars"),
    "too much credit": (["keys", "create", "a", "--credit", "1e10"], 2, "--credit must be dollars"),
    "a crumb of credit": (["keys", "create", "a", "--credit", "1e-10"], 2, "billionth of a dollar"),
    "a past end": (["keys", "create", "a", "--expires", "2020-01-01"], 2, "--expires must be in the future"),
    "an end at once": (["keys", "create", "a", "--expires", "0d"], 2, "--expires must be in the future"),
    "an end in words": (["keys", "create", "a", "--expires", "soon"], 2, "--expires must be such as"),
    "a place that is no database": (["keys", "create", "a", "--keys", "mysql://h/d"], 2, "not at mysql://"),
    "a place that is not there": (["keys", "create", "a", "--keys", "no/such/keys.db"], 4, "No such file or directory"),
    "nothing to list": (["keys", "list", "--keys", "none.db"], 2, "no keys at none.db"),
    "an unknown format": (["keys", "list", "--format", "xml"], 2, "unknown --format 'xml'"),
    "nobody to revoke": (["keys", "revoke", "key_nobody"], 2, "no key at keys.db is the one named"),
    "too short to mean one": (["keys", "revoke", "qr_live_"], 2, "no key at keys.db is the one named"),
    "an empty name to revoke": (["keys", "revoke", ""], 2, "no key at keys.db is the one named"),
    "another key": (["keys", "revoke", generate()], 2, "no key at keys.db is the one named"),
    "nothing to change": (["keys", "change", "key_nobody"], 2, "nothing to change"),
    "a change of nobody": (["keys", "change", "key_nobody", "--budget", "5"], 2, "no key at keys.db is the one named"),
    "an empty new name": (["keys", "change", "key_nobody", "--name", " "], 2, "--name must be 1 to 100 visible"),
    "a name that is no limit": (["keys", "change", "key_nobody", "--scopes", "none"], 2, "--scopes must be of"),
    "a budget in words": (["keys", "create", "a", "--budget", "ten"], 2, "--budget must be dollars"),
    "a rotation of nobody": (["keys", "rotate", "key_nobody"], 2, "no key at keys.db is the one named"),
    "a grace in words": (["keys", "rotate", "key_nobody", "--grace", "soon"], 2, "--grace must be a span"),
    "no dollars": (["keys", "top-up", "key_nobody", "0"], 2, "DOLLARS must be above 0"),
}


@pytest.mark.parametrize("problem", WRONG)
def test_what_cannot_be_done_is_one_line(run: Run, problem: str) -> None:
    run("keys", "create", "somebody")
    arguments, code, words = WRONG[problem]
    outcome = run(*arguments)
    assert outcome.code == code
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert words in outcome.err
    assert not any(each.startswith("qr_live_") and each in outcome.err for each in arguments)
    assert len(listed(run)) == 1


def test_a_beginning_that_several_keys_have_names_them(run: Run) -> None:
    made = [json.loads(run("keys", "create", "a", "--json").out)["id"] for _ in range(2)]
    store = Store("keys.db")
    with store._database.writing() as connection:
        connection.execute(update(KEYS).values(shown="qr_live_sameones"))
    store.close()
    for beginning in ("qr_live_same", "qr_live_sameones"):
        outcome = run("keys", "revoke", beginning)
        assert outcome.code == 2
        assert all(key_id in outcome.err for key_id in made)
    assert {key["state"] for key in listed(run)} == {"active"}


def test_a_key_without_a_limit_cannot_be_topped_up(run: Run) -> None:
    made = json.loads(run("keys", "create", "a", "--json").out)
    outcome = run("keys", "top-up", made["id"], "5")
    assert outcome.code == 2
    assert outcome.err == f"error: {made['id']} has no credit limit, so there is nothing to top up\n"


def test_credit_stays_a_number_that_the_store_can_hold(run: Run) -> None:
    made = json.loads(run("keys", "create", "a", "--json", "--credit", "1e9").out)
    assert "at most 1,000,000,000 dollars" in run("keys", "top-up", made["id"], "1").err
    assert listed(run)[0]["credit_granted"] == 1e9


@pytest.mark.slow
@pytest.mark.parametrize("columns", [30, 80, 140])
def test_the_list_fits_the_terminal(run: Run, columns: int) -> None:
    run("keys", "create", "search team ☂ " + "long " * 15, "--credit", "25", "--requests-per-minute", "600")
    made = json.loads(run("keys", "create", "b", "--json", "--expires", "30d").out)
    run("keys", "revoke", made["id"])
    arguments = ["-m", "qwen3_reranker", "keys", "list"]
    shown = on_terminal(arguments, columns=columns, environment={"NO_COLOR": "1"})
    assert max(map(len, shown.splitlines())) <= columns
    for words in (made["id"], made["shown"], "revoked", "active", "600", "requests/min", "$25.0000", "never", "☂"):
        assert words in shown


def test_an_empty_store_says_so(run: Run) -> None:
    Store("keys.db").close()
    assert run("keys", "list", "--format", "table").out == "no keys yet\n"
    assert listed(run) == []


def test_keys_alone_shows_its_verbs(run: Run) -> None:
    page = run("keys").out
    assert page == run("keys", "--help").out
    for verb in ("create", "list", "change", "rotate", "revoke", "top-up"):
        assert f"\n  {verb} " in page
        assert "Examples:" in run("keys", verb, "--help").out


def test_without_the_extra_one_line_names_it(folder: Path) -> None:
    # A module that is None in sys.modules is one that cannot be imported.
    script = (
        "import sys\n"
        "sys.modules['sqlalchemy'] = None\n"
        "from qwen3_reranker.cli import main\n"
        "sys.exit(main(['keys', 'list']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 4
    assert done.stderr == ('error: keys need sqlalchemy, which is not installed: pip install "qwen3_reranker[serve]"\n')
