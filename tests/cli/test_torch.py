"""The torch backend from the command line: the same ranking, what it needs of memory, and clear refusals."""

import json
import re

import pytest

from qwen3_reranker.cli.memory_facts import parsed_workload
from qwen3_reranker.errors import InputError
from qwen3_reranker.plan import WorkloadShape
from tests.cli.conftest import Run
from tests.cli.terminal import on_terminal

ON_CPU = ("--backend", "torch", "--device", "cpu")
RANK = ("rank", "how do I undo my last commit", "examples/documents", "--format", "json")


@pytest.mark.slow
def test_it_ranks_as_the_cpu_backend_does(run: Run) -> None:
    ours, expected = (json.loads(run(*RANK, *more).out)["results"] for more in (ON_CPU, ()))
    assert [hit["source"] for hit in ours] == [hit["source"] for hit in expected]
    for first, second in zip(ours, expected, strict=True):
        assert first["logit"] == pytest.approx(second["logit"], abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cpu"), "belongs to the torch backend"),
        (("--backend", "torch", "--device", "gpu"), "unknown --device 'gpu'"),
        (("--backend", "torch", "--precision", "int8"), "use --backend cpu for int8"),
        (("--backend", "torch", "--kernels", "avx2"), "the torch backend has kernels native, compiled"),
    ],
)
def test_what_it_cannot_do_is_one_line_and_exit_code_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    outcome = run(*RANK, *arguments)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert message in outcome.err


def test_inspect_states_what_a_workload_takes_of_a_device(run: Run) -> None:
    def memory(*arguments: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(run("inspect", "nano", "--backend", "torch", *arguments).out)["memory"]
        return found

    usual = memory()
    assert usual["workload"] == {
        "queries": 1,
        "documents": 100,
        "document_tokens": 120,
        "row_tokens": 196,
        "cut_tokens": 0,
        "prompt_tokens": 19_600,
        "computed_tokens": 12_967,
        "batches": 1,
    }
    half = memory("--precision", "bfloat16")
    assert half["total_bytes"] < 0.7 * usual["total_bytes"]
    sizes = {item["name"]: item["num_bytes"] for item in half["items"]}
    eighth = {item["name"]: item["num_bytes"] for item in memory("--precision", "float8")["items"]}
    assert 2 * eighth["layers"] == sizes["layers"]
    small = memory("--max-batch-tokens", "1024")
    assert small["workload"]["batches"] > 1
    assert small["total_bytes"] < usual["total_bytes"]
    more = memory("--workload", "1x1000x120", "--max-batch-tokens", "1024")
    items = [{item["name"]: item["num_bytes"] for item in each["items"]} for each in (small, more)]
    assert items[0]["batch"] == items[1]["batch"]


def test_a_workload_on_the_cpu_backend_takes_no_more_than_any_workload(run: Run) -> None:
    named = json.loads(run("inspect", "nano", "--workload", "1x10x50").out)["memory"]
    assert named["workload"]["batches"] == 1
    assert named["total_bytes"] < json.loads(run("inspect", "nano").out)["memory"]["total_bytes"]


def test_a_workload_says_what_the_length_of_a_row_cuts(run: Run) -> None:
    arguments = ("inspect", "nano", "--workload", "1x2x9000", "--format")
    facts = json.loads(run(*arguments, "json").out)["memory"]["workload"]
    assert facts["row_tokens"] == 8192
    assert facts["cut_tokens"] == 9000 + 76 - 8192
    assert "884 of each document cut by --max-length" in " ".join(run(*arguments, "table").out.split())


def test_a_workload_is_three_numbers(run: Run) -> None:
    assert parsed_workload("2X10x50") == WorkloadShape(2, 10, 50)
    assert parsed_workload(None) is None
    for text in ("", "1x2", "1x2x3x4", "0x1x1", "1x-2x3", "axbxc", "9999x9999x1", "1000000000x1x1"):
        with pytest.raises(InputError, match="QUERIESxDOCUMENTSxTOKENS"):
            parsed_workload(text)
    assert run("inspect", "nano", "--workload", "many").code == 2


@pytest.mark.slow
def test_drift_on_torch_compares_its_own_precisions() -> None:
    command = ["-m", "qwen3_reranker", "inspect", "nano", "--drift", *ON_CPU]
    _, _, part = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(command, columns=80)).partition("Drift from float32\n")
    assert re.search(r"^ +float8  bfloat16   float16", part, re.MULTILINE)
    assert re.search(r"^  advised +(float32|bfloat16|float16)\b", part, re.MULTILINE)
    assert max(len(line) for line in part.splitlines()) <= 80
