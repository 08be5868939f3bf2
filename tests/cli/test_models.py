"""`models` and `download` say what a model takes, and what fits the machine, before anything is fetched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwen3_reranker.cli import download as download_module
from qwen3_reranker.cli import known_models
from qwen3_reranker.cli.inspect import _facts
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.machine_memory import machine_memory
from qwen3_reranker.model_facts import KNOWN, NANO
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.hub_cache import cached_models
from testing.checkpoints import write_small_checkpoint
from testing.hub_server import Hub, commit_hash, serve
from testing.patience import PATIENCE_SECONDS
from tests.cli.conftest import Run
from tests.cli.terminal import on_terminal


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # huggingface_hub reads its environment once, when it is imported.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def put_into_cache(folder: Path, repository: str) -> None:
    """A model as huggingface_hub keeps it."""
    place = folder / "hub" / f"models--{repository.replace('/', '--')}"
    commit = "0" * 40
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    (place / "blobs").mkdir()
    snapshot = place / "snapshots" / commit
    snapshot.mkdir(parents=True)
    made = (
        write_small_checkpoint(folder / "made", initializer_range=0.2)
        if not (folder / "made").exists()
        else folder / "made"
    )
    for number, file in enumerate(sorted(each for each in made.iterdir() if each.is_file())):
        blob = place / "blobs" / str(number)
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(blob)


def listed(run: Run) -> dict[str, dict[str, object]]:
    outcome = run("models", "--format", "json")
    assert outcome.code == 0, outcome.err
    return {each["id"]: each for each in json.loads(outcome.out)["models"]}


def test_every_known_model_is_listed_with_its_size_and_memory(run: Run) -> None:
    found = listed(run)
    assert list(found) == [facts.id for facts in KNOWN]
    for facts in KNOWN:
        each = found[facts.id]
        assert each["file_bytes"] == facts.stored_bytes
        assert each["cached"] == (facts is NANO)
        memory = each["memory_bytes"]
        assert isinstance(memory, dict)
        assert memory["float32"] > facts.layer_bytes("float32")
        assert memory["int8"] > facts.layer_bytes("int8")
        assert memory["int8"] < memory["float32"]


@pytest.mark.parametrize("precision", known_models.PRECISIONS)
def test_the_memory_is_what_inspect_states_for_the_files(precision: str) -> None:
    options = EngineOptions(precision=precision, max_length=known_models.ROW_TOKENS)
    stated = _facts(open_checkpoint("nano"), options, None)["memory"]["total_bytes"]
    listed = known_models.needs_of(NANO, None, cached=True).memory_bytes
    assert listed is not None
    assert listed[precision] == pytest.approx(stated, rel=0.02)


@pytest.mark.parametrize(
    ("gigabytes", "fits"),
    [(64, ("float32", "bfloat16", "int8")), (6, ("int8",)), (2, ())],
)
def test_the_precisions_that_fit_are_those_that_leave_memory_for_others(gigabytes: int, fits: tuple[str, ...]) -> None:
    [facts] = [each for each in KNOWN if each.id == "Qwen/Qwen3-Reranker-4B"]
    assert known_models.needs_of(facts, gigabytes << 30, cached=False).fits == fits


def test_models_of_the_cache_are_listed_too_and_damaged_ones_are_no_error(run: Run, tmp_path: Path) -> None:
    put_into_cache(tmp_path, "someone/fine-tuned")
    put_into_cache(tmp_path, "Qwen/Qwen3-Reranker-0.6B")
    put_into_cache(tmp_path, "someone/broken")
    (config,) = (tmp_path / "hub" / "models--someone--broken").glob("snapshots/*/config.json")
    config.unlink()
    config.write_text("{", encoding="utf-8")
    found = listed(run)
    assert [each.id for each in cached_models()] == ["Qwen/Qwen3-Reranker-0.6B", "someone/fine-tuned"]
    assert list(found) == [*(facts.id for facts in KNOWN), "someone/fine-tuned"]
    assert found["Qwen/Qwen3-Reranker-0.6B"]["cached"] is found["someone/fine-tuned"]["cached"] is True


@pytest.mark.parametrize("columns", [60, 140])
def test_the_table_fits_the_terminal_and_breaks_no_name(columns: int) -> None:
    lines = on_terminal(["-m", "qwen3_reranker", "models"], columns=columns, environment={"NO_COLOR": "1"}).splitlines()
    assert max(map(len, lines)) <= columns
    assert all(any(facts.id in line for line in lines) for facts in KNOWN)
    assert ("int8" in lines[0]) == (columns == 140)


def test_download_states_size_and_memory_and_fetches_nothing_on_a_dry_run(run: Run) -> None:
    outcome = run("download", "qwen/qwen3-reranker-8b", "--dry-run")
    assert (outcome.code, outcome.out) == (0, "")
    assert "files     15.3 GiB" in outcome.err
    assert "int8      7.9 GiB of memory at most" in outcome.err


def downloaded(*models: str, **environment: str) -> list[str]:
    """The output, then the exit codes, of a process: huggingface_hub reads its environment when it is imported."""
    code = (
        "import sys\nfrom qwen3_reranker.cli import main\nprint(*[main(['download', model]) for model in sys.argv[1:]])"
    )
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", **environment}
    command = [sys.executable, "-c", code, *models]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_download_fetches_a_model_and_names_its_folder_also_without_a_network(
    run: Run, tmp_path: Path, package_path: None
) -> None:
    assert Path(run("download", "nano").out.strip()).name == "nano"
    made = write_small_checkpoint(tmp_path / "made", initializer_range=0.2)
    files = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    with serve(Hub({"someone/fine-tuned": [files]})) as hub:
        fetched, code = downloaded("someone/fine-tuned", HF_ENDPOINT=hub.endpoint)
    assert code == "0"
    folder = Path(fetched)
    assert folder.name == commit_hash("someone/fine-tuned", 0)
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert downloaded("someone/fine-tuned", "someone/other", HF_HUB_OFFLINE="1") == [fetched, "0 2"]


def test_download_refuses_a_disk_without_room_before_it_fetches(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 30}))
    outcome = run("download", "Qwen/Qwen3-Reranker-0.6B")
    assert outcome.code == 2
    assert "Qwen/Qwen3-Reranker-0.6B takes 1.1 GiB, and " in outcome.err
    assert "has 1.0 GiB left" in outcome.err


def test_the_memory_of_a_container_is_what_its_group_may_use(tmp_path: Path) -> None:
    limit, none = tmp_path / "memory.max", tmp_path / "unlimited"
    limit.write_text("123456\n")
    none.write_text("max\n")
    whole = machine_memory([])
    assert whole is not None
    assert machine_memory([none, tmp_path / "missing"]) == whole
    assert machine_memory([none, limit]) == 123456
