"""The table of dialects holds the paths that clients call, each path once."""

from qwen3_reranker.serve.dialects.dialect_table import DIALECT_PATHS


def test_every_path_stands_once() -> None:
    paths = [path.path for path in DIALECT_PATHS]
    assert len(set(paths)) == len(paths)


def test_every_dialect_has_a_path_of_its_own_name() -> None:
    named = {
        path.dialect.name
        for path in DIALECT_PATHS
        if not path.others and not path.path.startswith(("/v1/", "/v2/", "/api/"))
    }
    # No other client calls the paths of the later ones, and Weaviate's body has a field of its own.
    shared = {"canonical", "llama.cpp", "openai-decisions"} | {"zeroentropy", "deepinfra", "vertex", "weaviate"}
    assert named | shared == {dialect.name for path in DIALECT_PATHS for dialect in path.dialects}
    assert next(path for path in DIALECT_PATHS if path.path == "/llama.cpp/v1/rerank").dialect.name == "llama.cpp"


def test_the_paths_of_clients_of_many_servers_are_there() -> None:
    expected = (
        "/v1/rerank /v2/rerank /rerank /v1/v1/rerank /v1/v2/rerank /reranking /v1/reranking /v1/reranks "
        "/compatible-api/v1/reranks /api/v1/services/rerank/text-rerank/text-rerank /api/v1/rerank /api/rerank "
        "/score /v1/score /predict /v1/decisions /v1/ranking /v1/models/rerank /infinity/rerank /pinecone/rerank "
        "/providers/cohere/v2/rerank"
    )
    assert set(expected.split()) <= {path.path for path in DIALECT_PATHS}
