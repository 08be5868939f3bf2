"""hub: what callers call a model -> a folder, against a Hub of our own on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.backends.cpu.disk_cache import FOLDER
from qwen3_reranker.errors import CheckpointError, InputError, ModelNotFoundError
from qwen3_reranker.weights import hub as hub_module
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.hub import is_bundled, lasting_name, resolve
from qwen3_reranker.weights.hub_name import HubName, read_hub_name
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf
from testing.hub_server import Files, Hub, commit_hash, serve

pytestmark = pytest.mark.usefixtures("package_path")

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
    write_gguf(folder / "m-Q8_0.gguf", model, tensors_of_a_part=5)
    parts = {f"Q8_0/{path.name}": path.read_bytes() for path in folder.glob("m-Q8_0-*")}
    repositories: dict[str, list[Files]] = {
        "org/tiny": commits,
        "org/gated": commits,
        "org/pickled": [{"pytorch_model.bin": b"x"}],
        "org/gguf": [{"x.gguf": gguf, "README.md": b"never fetched"}],
        "org/many": [dict.fromkeys(("a.gguf", "b.gguf", "sub/c.gguf"), gguf)],
        "org/quants": [dict.fromkeys(("m-Q4_K_M.gguf", "m.Q8_0.gguf", "m-iq4_xs.gguf", "imatrix.gguf"), gguf)],
        "org/twice": [dict.fromkeys(("x-Q8_0.gguf", "y-q8_0.gguf"), gguf)],
        "org/both": [commits[1] | {"m-F16.gguf": gguf}],
        "org/onnx": [{"config.json": commits[1]["config.json"], "onnx/model_q4.onnx": b"x"}],
        "org/bert": [commits[1] | {"config.json": b'{"model_type": "xlm-roberta"}'}],
        "org/parts": [parts | {"m-F16.gguf": gguf}],
    }
    with serve(Hub(repositories, gated=frozenset({"org/gated"}))) as served:
        yield served


@pytest.fixture(scope="module")
def home(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hub cache that holds both commits of org/tiny."""
    folder = tmp_path_factory.mktemp("home")
    ask(hub, folder, ("org/tiny", FIRST), ("org/tiny", None))
    return folder


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nothing")


def ask(hub: Hub, home: Path, *models: tuple[str, str | None], **environment: str) -> Answers:
    hub.fetched.clear()
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, json.dumps(models)],
        env=hub.environment(home, **environment),
        capture_output=True,
        text=True,
        check=True,
    )
    return Answers([json.loads(line) for line in process.stdout.splitlines()], process.stderr, list(hub.fetched))


def test_a_hub_id_becomes_a_folder_and_only_safetensors_json_and_the_chat_template_are_fetched(
    hub: Hub, tmp_path: Path
) -> None:
    answers = ask(hub, tmp_path, ("org/tiny", None))
    assert answers.results == [[SECOND, 50]]
    assert set(answers.fetched) == {"config.json", "model.safetensors", "chat_template.jinja"}
    assert answers.stderr == "", "a progress bar is for terminals"


def test_a_pinned_revision_is_the_one_that_is_opened(hub: Hub, tmp_path: Path) -> None:
    assert ask(hub, tmp_path, ("org/tiny", FIRST), ("org/tiny", None)).results == [[FIRST, 40], [SECOND, 50]]


def test_a_cached_model_is_not_fetched_again(hub: Hub, home: Path) -> None:
    assert ask(hub, home, ("org/tiny", None), ("org/tiny", FIRST)).fetched == []


def test_a_folder_beside_nano_is_a_bundled_model_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_BUNDLED", tmp_path / "bundled")
    write_checkpoint(tmp_path / "bundled" / "nano-embed")
    (tmp_path / "bundled" / "README.md").touch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nano-embed").mkdir()
    assert open_checkpoint("nano-embed").folder == tmp_path / "bundled" / "nano-embed"
    assert lasting_name("nano-embed", None, Path()) == ("nano-embed", None)
    for name in ("nano-embed/", "README.md", "bundled", "..", ""):
        assert not is_bundled(name), name


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
    assert [error for error, _ in results] == [
        *["ModelNotFoundError"] * 3,
        "UnsupportedModelError",
        "ModelNotFoundError",
    ]
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_quantisation_finds_the_one_file_whose_name_ends_with_it(hub: Hub, tmp_path: Path) -> None:
    models = ["org/quants:Q8_0", "org/quants:q4_k_m", "hf.co/org/quants:IQ4_XS", "org/both:f16"]
    answers = ask(hub, tmp_path, *((model, None) for model in models))
    assert answers.results == [[commit_hash(f"org/{name}", 0), 60] for name in ("quants", "quants", "quants", "both")]
    assert list(dict.fromkeys(answers.fetched)) == ["m.Q8_0.gguf", "m-Q4_K_M.gguf", "m-iq4_xs.gguf", "m-F16.gguf"]
    offline = ask(hub, tmp_path, ("org/quants:q8_0", None), ("org/quants:Q6_K", None), HF_HUB_OFFLINE="1")
    assert offline.results[0] == answers.results[0], offline.results
    assert offline.results[1][0] == "InputError"


def test_a_quantisation_that_is_not_there_or_twice_is_a_list_with_the_name_to_type(hub: Hub, tmp_path: Path) -> None:
    models = ["org/quants:Q6_K", "org/twice:Q8_0", "org/tiny:Q8_0", "org/quants"]
    answers = ask(hub, tmp_path, *((model, None) for model in models))
    assert [error for error, _ in answers.results] == ["InputError"] * 4
    said = (
        "holds no GGUF file of 'Q6_K' (m-Q4_K_M.gguf, m-iq4_xs.gguf, m.Q8_0.gguf): say which one, like "
        "org/quants:m-Q4_K_M.gguf",
        "holds several GGUF files of 'Q8_0' (x-Q8_0.gguf, y-q8_0.gguf): say which one, like org/twice:x-Q8_0.gguf",
        "'org/tiny' holds no GGUF file; leave 'Q8_0' out for its safetensors",
        "holds 3 GGUF files (m-Q4_K_M.gguf, m-iq4_xs.gguf, m.Q8_0.gguf): say which one, like org/quants:Q4_K_M",
    )
    for (_, message), part in zip(answers.results, said, strict=True):
        assert part in str(message)
    assert answers.fetched == []


def test_all_parts_of_a_split_model_are_fetched_and_read_as_one(hub: Hub, tmp_path: Path) -> None:
    [*parts] = sorted(path for path in hub.commits["org/parts"][commit_hash("org/parts", 0)] if "-of-" in path)
    assert len(parts) > 2
    answers = ask(hub, tmp_path, ("org/parts:Q8_0", None), (f"org/parts:{parts[1]}", None))
    assert answers.results == [["Q8_0", 60]] * 2
    assert sorted(set(answers.fetched)) == parts


@pytest.mark.slow
def test_a_model_of_another_kind_is_named_before_its_weights_are_fetched(hub: Hub, tmp_path: Path) -> None:
    answers = ask(hub, tmp_path, ("org/bert", None), ("org/onnx", None), ("BAAI/bge-reranker-v2-m3", None))
    assert [error for error, _ in answers.results] == ["UnsupportedModelError"] * 2 + ["ModelNotFoundError"]
    assert "model_type is 'xlm-roberta': another architecture" in str(answers.results[0][1])
    assert "holds an export for ONNX" in str(answers.results[1][1])
    assert set(answers.fetched) == {"config.json"}
    offline = ask(hub, tmp_path, ("BAAI/bge-reranker-v2-m3", None), HF_HUB_OFFLINE="1")
    assert "by its name it is of another family" in str(offline.results[0][1])


@pytest.mark.slow
def test_a_quantisation_that_is_nowhere_is_told_as_any_model_is(hub: Hub, tmp_path: Path) -> None:
    none = ask(hub, tmp_path, ("org/none:Q8_0", None)).results[0]
    offline = ask(hub, tmp_path, ("org/none:Q8_0", None), HF_HUB_OFFLINE="1").results[0]
    assert none[0] == offline[0] == "ModelNotFoundError"
    assert "nor such a Hub repository" in str(none[1])
    assert "`ollama show NAME --modelfile` names" in str(none[1])
    assert "not fully in the Hub's cache" in str(offline[1])


@pytest.mark.parametrize(
    "name",
    [
        "hf:org/tiny",
        "hf://org/tiny",
        "HF:org/tiny",
        "hf.co/org/tiny",
        "huggingface.co/org/tiny/",
        "https://huggingface.co/org/tiny",
        "https://huggingface.co/org/tiny/tree/main/",
        "https://hf.co/org/tiny?library=transformers#files",
    ],
)
def test_every_form_of_a_hub_id_means_that_repository(name: str) -> None:
    wanted = read_hub_name(name)
    assert wanted is not None
    assert wanted.repository == "org/tiny"
    assert (wanted.file, wanted.tag) == ("", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("https://huggingface.co/a/b/tree/v1.0", HubName("a/b", revision="v1.0")),
        ("https://huggingface.co/a/b/blob/main/m-Q8_0.gguf", HubName("a/b", "m-Q8_0.gguf", revision="main")),
        ("https://hf.co/a/b/resolve/x/s/m.gguf?download=true", HubName("a/b", "s/m.gguf", revision="x")),
        ("https://huggingface.co/a/b/tree/refs%2Fpr%2F3", HubName("a/b", revision="refs/pr/3")),
        ("https://huggingface.co/a/b/tree/refs/pr/3", HubName("a/b", revision="refs/pr/3")),
        ("hf.co/a/b:UD-Q4_K_XL", HubName("a/b", tag="UD-Q4_K_XL")),
        ("hf:a/b/m.gguf", HubName("a/b", "m.gguf")),
        ("hf:a/b:Q8_0#dev", HubName("a/b", tag="Q8_0", revision="dev")),
        ("hf://a/b@v2/sub/m.gguf", HubName("a/b", "sub/m.gguf", revision="v2")),
        ("a/b:Q8_0", HubName("a/b", tag="Q8_0")),
        ("a/b:sub/m.gguf", HubName("a/b", "sub/m.gguf")),
        ("https://huggingface.co/a/b/tree/../../x", None),
        ("https://huggingface.co/a/b/resolve/main/..%2Fx.gguf", None),
        ("https://huggingface.co/a/b/tree/..%2F..%2Fx", None),
        ("https://huggingface.co/datasets/a/b", None),
        ("https://huggingface.co/a", None),
        ("https://example.com/a/b", None),
        ("hf:a/b@../x", None),
        ("a/b/m.gguf", None),
        ("a/b:m.bin", None),
        ("a/b:8", None),
    ],
)
def test_a_name_says_file_quantisation_and_revision(name: str, expected: HubName | None) -> None:
    assert read_hub_name(name) == expected


def test_the_revision_of_an_address_is_used_and_another_one_contradicts_it(hub: Hub, tmp_path: Path) -> None:
    address = f"https://huggingface.co/org/tiny/tree/{FIRST}"
    answers = ask(hub, tmp_path, (address, None), (address, FIRST), (address, "main"), ("hf:org/tiny", FIRST))
    assert answers.results[:2] == [[FIRST, 40]] * 2
    assert answers.results[2][0] == "InputError"
    assert f"names revision '{FIRST}', but 'main' was asked for" in str(answers.results[2][1])
    assert answers.results[3] == [FIRST, 40]


@pytest.mark.parametrize(
    "name", ["ollama.com/dengcao/x:Q5_K_M", "https://ollama.com/library/x", "registry.ollama.ai/a/b"]
)
def test_a_name_of_ollamas_registry_says_where_its_file_lies(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"ollama show NAME --modelfile.* FROM, or a Hub id"):
        resolve(name)


def test_the_address_of_another_file_names_what_to_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotFoundError, match=r"names 'config\.json', and only GGUF .* pass a/b; "):
        resolve("https://huggingface.co/a/b/blob/main/config.json")


def test_a_file_that_begins_as_gguf_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model", num_hidden_layers=1)
    blob = write_gguf(tmp_path / "sha256-0011", model)
    assert resolve(blob) == blob
    assert open_checkpoint(blob).layout == "gguf"
    blob.write_bytes(b"GGU")
    with pytest.raises(ModelNotFoundError, match="folder that holds it"):
        resolve(blob)


def test_a_folder_of_several_gguf_files_takes_a_quantisation_or_a_name_too(tmp_path: Path) -> None:
    for name in ("m-Q8_0.gguf", "m-Q4_0.gguf", "mmproj-F16.gguf"):
        (tmp_path / name).write_bytes(b"")
    assert resolve(f"{tmp_path}:q8_0") == tmp_path / "m-Q8_0.gguf"
    assert resolve(f"{tmp_path}:m-Q4_0.gguf") == tmp_path / "m-Q4_0.gguf"
    with pytest.raises(InputError, match=r"holds no GGUF file of 'Q6_K' \(m-Q4_0\.gguf, m-Q8_0\.gguf\): say which one"):
        resolve(f"{tmp_path}:Q6_K")
    (tmp_path / "m-Q4_0.gguf").unlink()
    assert resolve(tmp_path) == tmp_path / "m-Q8_0.gguf", "a projector is no model"


PREFIXES = ("", "hf:", "hf://", "hf.co/", "https://huggingface.co/", "ollama.com/", "/", "./", "~", "\\", "a/b", "a/b:")
NAME_PARTS = (
    *("a", "b", "/", ":", "@", "#", "?", "%2F", "..", ".", "Q8_0", ".gguf", "/tree/", "/resolve/", "main", "nano"),
    *("-00001-of-00002", "~", "\\", "\0", "\n", "\u00e9", "\ud800"),
)


@given(
    prefix=st.sampled_from(PREFIXES),
    parts=st.lists(st.one_of(st.sampled_from(NAME_PARTS), st.text(max_size=3)), max_size=9),
)
def test_any_name_is_a_model_or_a_typed_error_and_a_path_never_asks_the_hub(
    prefix: str, parts: list[str], nothing: Path
) -> None:
    name = prefix + "".join(parts)
    asked: list[HubName] = []
    message = ""

    def fetch(name: str, wanted: HubName) -> Path:
        asked.append(wanted)
        return Path("fetched")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(nothing)
        patch.setenv("HOME", "/nowhere")
        patch.setattr(hub_module, "_fetch", fetch)
        try:
            resolve(name)
        except (InputError, CheckpointError) as error:
            message = str(error)
    assert message.isprintable()
    if name.startswith(("/", ".", "~", "\\")):
        assert asked == []
    for wanted in asked:
        assert wanted.repository.count("/") == 1
        assert ".." not in (*wanted.repository.split("/"), *wanted.file.split("/"), *(wanted.revision or "").split("/"))


def test_local_models_do_not_wait_for_the_hub_library(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, num_hidden_layers=1)
    code = f"import sys; from qwen3_reranker.weights import open_checkpoint; open_checkpoint({str(folder)!r}); "
    code += "sys.exit('huggingface_hub' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
