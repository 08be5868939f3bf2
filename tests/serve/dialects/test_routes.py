"""The table of routes holds what its clients call, each path once."""

from qwen3_reranker.serve.dialects.routes import judging_routes

ROUTES = judging_routes()


def test_every_path_stands_once() -> None:
    paths = [route.path for route in ROUTES]
    assert len(set(paths)) == len(paths)


def test_every_dialect_has_a_path_of_its_own_name() -> None:
    named = {
        route.dialect.name
        for route in ROUTES
        if not route.others and not route.path.startswith(("/v1/", "/v2/", "/api/"))
    }
    shared = {"canonical", "llama.cpp", "openai-decisions"}
    assert named | shared == {dialect.name for route in ROUTES for dialect in route.dialects}
    assert next(route for route in ROUTES if route.path == "/llama.cpp/v1/rerank").dialect.name == "llama.cpp"


def test_the_paths_of_clients_of_many_servers_are_there() -> None:
    expected = (
        "/v1/rerank /v2/rerank /rerank /v1/v1/rerank /v1/v2/rerank /reranking /v1/reranking /v1/reranks "
        "/compatible-api/v1/reranks /api/v1/services/rerank/text-rerank/text-rerank /api/v1/rerank /api/rerank "
        "/score /v1/score /predict /v1/decisions"
    )
    assert set(expected.split()) <= {route.path for route in ROUTES}
