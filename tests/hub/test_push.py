"""A model goes to the Hub with its card and comes back with the same scores, through huggingface_hub's own client."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from qwen3_reranker import Reranker
from testing.checkpoints import write_small_checkpoint
from testing.hub_server import Hub, serve

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("package_path")]

NOWHERE = "http://127.0.0.1:9"
# Commands one after the other in one process, each with a token of its own; RANK prints the bits of scores.
RUN = """
import contextlib, io, json, os, sys
from qwen3_reranker import Reranker
from qwen3_reranker.cli import main
for token, (verb, *arguments) in json.load(sys.stdin):
    os.environ["HF_TOKEN"] = token
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        if verb == "RANK":
            code = 0
            for name in arguments:
                print([hit.logit.hex() for hit in Reranker(name).rank("river", ["a", "b water", "c"]).hits])
        else:
            code = main([verb, *arguments])
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
DATA = "".join(
    json.dumps({"query": f"river {number}", "pos": [f"water {number}"], "neg": [f"stone {number}", "sand"]}) + "\n"
    for number in range(20)
)


@dataclass(frozen=True)
class Ended:
    """What one process did."""

    code: int
    out: str
    err: str


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    card = b"---\nlicense: mit\nlanguage:\n- de\n---\n# base\n"
    # Rows of whole blocks, as Q8_0 wants them.
    folder = write_small_checkpoint(tmp_path_factory.mktemp("base"), initializer_range=0.2, intermediate_size=64)
    base = {path.name: path.read_bytes() for path in folder.iterdir()} | {"README.md": card}
    with serve(Hub({"org/base": [base]})) as served:
        yield served


def commands(hub: Hub, home: Path, *all_arguments: tuple[str, ...] | list[str], **environment: str) -> list[Ended]:
    """Run commands with a token that may write. One that begins with TOKEN= has that one."""
    asked = [
        (each[0].removeprefix("TOKEN="), each[1:]) if each[0].startswith("TOKEN=") else ("write", each)
        for each in all_arguments
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(asked),
        env=hub.environment(home, HF_HUB_DISABLE_XET="1", **environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [Ended(*json.loads(line)) for line in done.stdout.splitlines()]


def newest(hub: Hub, repository: str) -> dict[str, bytes]:
    return dict(list(hub.commits[repository].values())[-1])


def card_of(hub: Hub, repository: str) -> ModelCard:
    return ModelCard(newest(hub, repository)["README.md"].decode())


def refused(ended: Ended, *said: str, code: int = 4) -> None:
    lines = [line for line in ended.err.splitlines() if line.startswith("error:")]
    assert ended.code == code, ended
    assert len(lines) == 1, ended.err
    assert "Traceback" not in ended.err
    for each in said:
        assert each in lines[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in whose folder a training tool and a careless user have left much else."""
    folder = write_small_checkpoint(tmp_path / "model", initializer_range=0.2)
    (folder / "LICENSE").write_text("all rights")
    for name in ("optimizer.pt", "train.jsonl", "data.json", "optimizer.safetensors", "log.csv", ".env", "a.parquet"):
        (folder / name).write_text("stays here")
    (folder / ".qwen3_reranker").mkdir()
    (folder / ".qwen3_reranker" / "digests.json").write_text("{}")
    return folder


def test_a_pushed_folder_comes_back_with_the_same_bits_and_nothing_but_the_model_was_sent(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    push = ("push", str(folder), "alice/new", "--private")
    ended, back, again = commands(hub, tmp_path, push, ("RANK", "alice/new", str(folder)), push)
    assert (ended.code, ended.out) == (0, f"{hub.endpoint}/alice/new\n"), ended
    files = newest(hub, "alice/new")
    model = {"config.json", "model.safetensors", "tokenizer.json"}
    assert set(files) == {".gitattributes", "README.md", "LICENSE", *model}
    assert hub.private["alice/new"]
    size = (folder / "model.safetensors").stat().st_size
    assert f"model.safetensors  {size:,} bytes" in ended.err
    assert "not sent: .env" in ended.err
    fetched, local = back.out.splitlines()
    assert fetched == local
    assert again.code == 0
    assert len(hub.commits["alice/new"]) == 3, "created, and one commit a push"


def test_a_trained_model_is_pushed_with_its_measures_and_their_source_but_without_data_and_state(
    hub: Hub, tmp_path: Path
) -> None:
    data = tmp_path / "secret.jsonl"
    data.write_text(DATA)
    run = ("train", "run", str(data), "-o", str(tmp_path / "run"), "--model", "org/base", "--steps", "4")
    model = tmp_path / "run" / "model"
    ended, back, whole_run = commands(
        hub,
        tmp_path,
        (*run, "--rate", "0.01", "--hold-out", "0.5", "--push", "team/tuned"),
        ("RANK", "team/tuned", str(model)),
        ("push", str(tmp_path / "run"), "alice/x"),
    )
    assert ended.code == 0, ended
    assert ended.out.splitlines() == [str(model), f"{hub.endpoint}/team/tuned"]
    files = {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert set(newest(hub, "team/tuned")) == {".gitattributes", *files}
    card = card_of(hub, "team/tuned")
    facts = card.data.to_dict()
    assert (facts["base_model"], facts["base_model_relation"]) == ("org/base", "adapter")
    assert (card.data.pipeline_tag, card.data.library_name) == ("text-ranking", "peft")
    assert (card.data.license, card.data.language) == ("mit", ["de"]), "of the base's card on the Hub"
    results = {result.metric_type: result for result in card.data.eval_results}
    assert set(results) == {"ndcg@10", "mrr@10", "pairs"}
    assert f"| {results['ndcg@10'].metric_value:.4f} |" in card.text
    assert results["ndcg@10"].source_url == f"{hub.endpoint}/team/tuned"
    assert results["ndcg@10"].dataset_name.endswith("held-out queries")
    assert 'Reranker("team/tuned")' in card.text
    fetched, local = back.out.splitlines()
    assert fetched == local
    refused(whole_run, str(model), code=2)


def test_a_conversion_is_pushed_with_what_it_was_made_from_and_how_far_scores_moved(hub: Hub, tmp_path: Path) -> None:
    small, large = tmp_path / "m-q8_0.gguf", tmp_path / "m-f16.gguf"
    ended, back = commands(
        hub,
        tmp_path,
        ("convert", "org/base", str(small), "--quantize", "q8_0", "--push", "alice/gguf"),
        ("RANK", "alice/gguf", "alice/gguf:m-q8_0.gguf", str(small)),
    )
    assert ended.code == 0, ended
    facts = json.loads(ended.out)
    assert facts["pushed"] == f"{hub.endpoint}/alice/gguf"
    card = card_of(hub, "alice/gguf")
    assert card.data.to_dict()["base_model_relation"] == "quantized"
    assert (card.data.base_model, card.data.library_name, card.data.license) == ("org/base", "gguf", "mit")
    assert f"{facts['parity']['max_delta']:.2g} at most" in card.text
    assert 'Reranker("alice/gguf:m-q8_0.gguf")' in card.text
    assert len(back.out.splitlines()) == 3
    assert len(set(back.out.splitlines())) == 1
    # A second quantisation joins the first, and the card that is there stays.
    arguments = ("convert", "org/base", str(large), "--quantize", "f16", "--no-parity", "--push", "alice/gguf")
    too_far = ("convert", "org/base", str(tmp_path / "x.gguf"), "--quantize", "q4_0", "--bound", "0")
    other, moved = commands(hub, tmp_path, arguments, (*too_far, "--push", "alice/bad"))
    assert other.code == 0, other
    assert {"m-q8_0.gguf", "m-f16.gguf"} < set(newest(hub, "alice/gguf"))
    assert card_of(hub, "alice/gguf").content == card.content
    assert moved.code == 5
    assert "alice/bad" not in hub.commits, "what moved too far is not sent"


def test_a_refusal_is_one_line_before_the_work_begins(hub: Hub, small_checkpoint: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(DATA)
    train = ("train", "run", str(data), "-o", str(tmp_path / "run"), "--push", "alice/x")
    convert = ("convert", "nano", str(tmp_path / "n.gguf"), "--push")
    expected = {
        ("TOKEN=", *train): (4, ("no token", "hf auth login")),
        ("TOKEN=unknown", *convert, "alice/x"): (4, ("does not know this token",)),
        ("TOKEN=read", *convert, "alice/x"): (4, ("may only read",)),
        (*convert, "bob/x"): (4, ("'alice'", "team")),
        (*convert, "x"): (2, ("owner/name",)),
        ("push", str(small_checkpoint), "alice/a b", "--dry-run"): (2, ("owner/name",)),
        (*convert, "alice/a--b"): (2, ("owner/name",)),
        # Nobody else could find this adapter's base.
        (*train, "--model", str(small_checkpoint)): (2, ("this machine alone", "convert")),
    }
    for ended, (code, said) in zip(commands(hub, tmp_path, *expected), expected.values(), strict=True):
        refused(ended, *said, code=code)
    [lost] = commands(hub, tmp_path, (*convert, "alice/x"), HF_ENDPOINT=NOWHERE)
    refused(lost, "check the network")
    [offline] = commands(hub, tmp_path, (*convert, "alice/x"), HF_HUB_OFFLINE="1")
    refused(offline, "HF_HUB_OFFLINE")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "n.gguf").exists()
    assert set(hub.commits) == {"org/base"}


def test_a_failure_on_the_way_keeps_the_model_and_says_how_to_send_it_again(hub: Hub, tmp_path: Path) -> None:
    destination = tmp_path / "out"
    again = f"qwen3-reranker push {destination} alice/late --base org/base"
    options = ("--to", "hf", "--no-parity", "--overwrite", "--push", "alice/late")
    failing = [
        (f"TOKEN=write, but not {step}", "convert", "org/base", str(destination), *options)
        for step in ("repos/create", "preupload", "objects/batch", "commit")
    ]
    *failed, sent = commands(hub, tmp_path, *failing, again.split()[1:])
    for ended in failed:
        refused(ended, again)
        assert json.loads(ended.out)["destination"] == str(destination)
    assert "you shall not pass" in failed[0].err
    with Reranker(destination) as reranker:
        assert len(reranker.rank("q", ["a"])) == 1
    assert sent.code == 0
    assert card_of(hub, "alice/late").data.base_model == "org/base"


def test_what_would_harm_a_repository_or_could_not_be_opened_is_not_sent(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    shard, public = "model-00001-of-00002.safetensors", "alice/public"
    hub.commits[public] = {"0" * 40: {shard: b"x", "README.md": b"mine"}}
    unread, wrong, damaged = (write_small_checkpoint(tmp_path / name) for name in ("unread", "wrong", "damaged"))
    (unread / "README.md").write_text("---\nlicense: [\n---\nmine")
    (wrong / "README.md").write_text("---\nbase_model: /home/me/model\n---\nmine")
    (damaged / "model.safetensors").write_bytes(b"damaged")
    expected = {
        ("push", str(folder), public): (4, shard),
        ("push", str(folder), public, "--private"): (4, "is public"),
        ("push", str(tmp_path / "no"), "alice/x"): (2, "no folder"),
        ("push", str(unread), "alice/x"): (2, "README.md"),
        ("push", str(wrong), "alice/x"): (2, "/home/me/model"),
        ("push", str(damaged), "alice/x"): (3, "model.safetensors"),
    }
    for ended, (code, said) in zip(commands(hub, tmp_path, *expected), expected.values(), strict=True):
        refused(ended, said, code=code)
    assert list(hub.commits[public]) == ["0" * 40]
    assert len(hub.commits.get("alice/x", {})) <= 1


def test_a_dry_run_shows_files_and_card_without_a_token_or_a_repository(hub: Hub, folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("# Written by hand\n", encoding="utf-8")
    push = ("TOKEN=", "push", str(folder), "alice/x", "--base", "org/base", "--dry-run")
    [ended] = commands(hub, tmp_path, push)
    assert ended.code == 0, ended
    card = ModelCard(ended.out)
    assert (card.data.base_model, card.data.license, card.data.pipeline_tag) == ("org/base", "mit", "text-ranking")
    assert "# Written by hand" in card.text
    assert hub.posted == []
