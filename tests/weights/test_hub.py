"""hub: what callers call a model -> a folder, against a Hub of our own on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qwen3_reranker.backends.cpu.disk_cache import FOLDER
from qwen3_reranker.errors import CheckpointError, InputError, ModelNotFoundError
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.hub import resolve
from tests.testing.checkpoints import write_checkpoint
from tests.testing.gguf_files import write_gguf
from tests.testing.hub_server import Files, Hub, commit_hash, serve

# huggingface_hub reads its environment when it is imported, so every state of the network is a process of its own.
ASK = """
import json, sys
from qwen3_reranker.errors import RerankerError
from qwen3_reranker.weights import open_checkpoint
for model, revision in json.loads(sys.argv[1]):
    try:
        checkpoint = open_checkpoint(model, revision)
        answer = [checkpoint.folder.name, checkpoint.config.vocab_size]
    except RerankerError as error:
        answer = [type(error).__name__, str(error)]
    print(json.dumps(answer))
"""
FIRST, SECOND = commit_hash("org/tiny", 0), commit_hash("org/tiny", 1)
NOWHERE = "http://127.0.0.1:9"


@dataclass
class Answers:
    """What a process that opened some models printed, and what the Hub was asked for meanwhile."""

    results: list[list[object]]
    stderr: str
    fetched: list[str]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    commits: list[Files] = []
    for vocab_size in (40, 50):
        folder = write_checkpoint(tmp_path_factory.mktemp("commit"), vocab_size=vocab_size, num_hidden_layers=1)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        others = ("pytorch_model.bin", "modeling.py", "README.md", "chat_template.jinja", "training_args.bin")
        # What others' machines made of the weights would be believed by its name.
        made = (f"{FOLDER}/int8-1-group64-0.safetensors", f"{FOLDER}/digests.json")
        commits.append(files | dict.fromkeys((*others, *made), b"never fetched"))
    folder = tmp_path_factory.mktemp("gguf")
    model = write_checkpoint(folder / "model", vocab_size=60, num_hidden_layers=1)
    gguf = write_gguf(folder / "x.gguf", model).read_bytes()
    repositories: dict[str, list[Files]] = {
        "org/tiny": commits,
        "org/gated": commits,
        "org/pickled": [{"pytorch_model.bin": b"x"}],
        "org/gguf": [{"x.gguf": gguf, "README.md": b"never fetched"}],
        "org/many": [dict.fromkeys(("a.gguf", "b.gguf", "sub/c.gguf"), gguf)],
    }
    with serve(Hub(repositories, gated=frozenset({"org/gated"}))) as served:
        yield served


@pytest.fixture(scope="module")
def home(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hub cache that holds both commits of org/tiny."""
    folder = tmp_path_factory.mktemp("home")
    ask(hub, folder, ("org/tiny", FIRST), ("org/tiny", None))
    return folder


def ask(hub: Hub, home: Path, *models: tuple[str, str | None], **environment: str) -> Answers:
    settings = {"HF_HOME": str(home), "HF_ENDPOINT": hub.endpoint, **environment}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    hub.fetched.clear()
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, json.dumps(models)],
        env={**inherited, "PYTHONPATH": str(Path(__file__).parents[2]), **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return Answers([json.loads(line) for line in process.stdout.splitlines()], process.stderr, list(hub.fetched))


def test_a_hub_id_becomes_a_folder_and_only_safetensors_and_json_are_fetched(hub: Hub, tmp_path: Path) -> None:
    answers = ask(hub, tmp_path, ("org/tiny", None))
    assert answers.results == [[SECOND, 50]]
    assert set(answers.fetched) == {"config.json", "model.safetensors"}
    assert answers.stderr == "", "a progress bar is for terminals"


def test_a_pinned_revision_is_the_one_that_is_opened(hub: Hub, tmp_path: Path) -> None:
    assert ask(hub, tmp_path, ("org/tiny", FIRST), ("org/tiny", None)).results == [[FIRST, 40], [SECOND, 50]]


def test_a_cached_model_is_not_fetched_again(hub: Hub, home: Path) -> None:
    assert ask(hub, home, ("org/tiny", None), ("org/tiny", FIRST)).fetched == []


@pytest.mark.parametrize(
    "network",
    [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": NOWHERE}, {"HF_ENDPOINT": "https://hub.invalid", "HTTPS_PROXY": "hub"}],
    ids=["offline by choice", "no network", "a proxy that refuses"],
)
def test_without_the_hub_cached_models_open_and_others_say_so(hub: Hub, home: Path, network: dict[str, str]) -> None:
    network = {key: hub.endpoint if value == "hub" else value for key, value in network.items()}
    answers = ask(hub, home, ("org/tiny", None), ("org/tiny", FIRST), ("org/other", None), **network)
    assert answers.results[:2] == [[SECOND, 50], [FIRST, 40]]
    error, message = answers.results[2]
    assert error == "ModelNotFoundError"
    assert "'org/other'" in str(message)
    assert "nano" in str(message)
    assert answers.fetched == []


def test_what_the_hub_refuses_is_one_line_with_a_remedy(hub: Hub, home: Path) -> None:
    models = {"org/none": None, "org/gated": None, "org/tiny": "v9", "org/pickled": None, "a" * 99 + "/b": None}
    results = ask(hub, home, *models.items()).results
    assert [error for error, _ in results] == ["ModelNotFoundError"] * 3 + ["CheckpointError", "ModelNotFoundError"]
    messages = [str(message) for _, message in results]
    remedies = ("nano", "hf auth login", "'v9'", "no safetensors", "not a valid Hub id")
    for message, said in zip(messages, remedies, strict=True):
        assert said in message
        assert "\n" not in message


@pytest.mark.parametrize(
    "name",
    [
        "./x",
        "/x/y",
        "~/x",
        "~",
        "x",
        "",
        "a/b/c",
        "org/model.gguf",
        "x.gguf",
        "a/b:c.bin",
        "a/b:../c.gguf",
        "org\\name",
        "org/na me",
        "\0",
        "é/b",
    ],
)
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused_without_a_network(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "no-home"))
    with pytest.raises(ModelNotFoundError, match="nano") as caught:
        resolve(name)
    assert repr(name) in str(caught.value)


def test_an_existing_folder_is_itself_whatever_its_name_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path / "org" / "name", num_hidden_layers=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("org/name") == Path("org/name")
    assert resolve(tmp_path / "org") == tmp_path / "org"
    assert resolve("~/org/name") == tmp_path / "org" / "name"
    assert open_checkpoint("org/name").name == "org/name"


def test_a_revision_of_a_folder_is_an_error_and_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'v1'"):
        resolve(str(tmp_path), "v1")


def test_a_gguf_file_is_itself_and_any_other_file_is_not_a_model(tmp_path: Path) -> None:
    for name in ("model.gguf", "model.safetensors"):
        (tmp_path / name).write_bytes(b"")
    assert resolve(tmp_path / "model.gguf") == tmp_path / "model.gguf"
    with pytest.raises(ModelNotFoundError, match="folder that holds it"):
        resolve(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.gguf: expected a GGUF file, got 0 bytes"):
        open_checkpoint(tmp_path / "model.gguf")


def test_a_folder_of_one_gguf_file_is_that_file_unless_there_are_safetensors(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model", num_hidden_layers=1)
    (tmp_path / "one").mkdir()
    path = write_gguf(tmp_path / "one" / "a.gguf", model)
    assert resolve(tmp_path / "one") == path
    assert open_checkpoint(tmp_path / "one").layout == "gguf"
    (tmp_path / "one" / "b.gguf").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 GGUF files \(a\.gguf, b\.gguf\): pass the path of one"):
        resolve(tmp_path / "one")
    path.rename(model / "a.gguf")
    assert open_checkpoint(model).layout == "causal-lm"


def test_a_repository_of_one_gguf_file_is_that_file_and_of_several_the_one_that_is_named(
    hub: Hub, tmp_path: Path
) -> None:
    models = ["org/gguf", "org/many", "org/many:b.gguf", "org/many:sub/c.gguf", "org/many:d.gguf", "org/tiny:e.gguf"]
    answers = ask(hub, tmp_path, *((model, None) for model in models))
    one, many, named, lower, none, other = answers.results
    assert one == [commit_hash("org/gguf", 0), 60]
    assert many[0] == "InputError"
    assert "3 GGUF files (a.gguf, b.gguf, sub/c.gguf): say which one, like org/many:a.gguf" in str(many[1])
    assert named == [commit_hash("org/many", 0), 60]
    assert lower == ["sub", 60]
    assert (none[0], other[0]) == ("ModelNotFoundError", "ModelNotFoundError")
    assert "no file 'd.gguf'" in str(none[1])
    assert list(dict.fromkeys(answers.fetched)) == ["x.gguf", "b.gguf", "sub/c.gguf"]
    offline = ask(hub, tmp_path, ("org/gguf", None), ("org/many:b.gguf", None), HF_HUB_OFFLINE="1")
    assert offline.results == [one, named]
    assert offline.fetched == []


def test_local_models_do_not_wait_for_the_hub_library(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, num_hidden_layers=1)
    code = f"import sys; from qwen3_reranker.weights import open_checkpoint; open_checkpoint({str(folder)!r}); "
    code += "sys.exit('huggingface_hub' in sys.modules)"
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": root})
