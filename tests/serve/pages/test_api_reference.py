"""The reference of the API: every route of the server is on it, and every example on it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.dialects.dialect_table import DIALECTS
from qwen3_reranker.serve.pages.api_reference import CLIENTS
from testing.browser import OpenPage
from testing.checkpoints import write_small_checkpoint
from testing.layouts import write_embedding_model
from testing.live_server import Live, live_server
from tests.serve.pages.run_code import run_code

pytestmark = pytest.mark.slow
DOCS = (Path(__file__).parents[3] / "docs" / "serve.md").read_text(encoding="utf-8")
SDKS = {"cohere-v2": ["Cohere", "LangChain", "LlamaIndex"], "canonical": ["OpenAI"], "openai-embeddings": ["OpenAI"]}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, str]]:
    """A server of the bundled model and an embedding model, and a key that it wants."""
    folder = tmp_path_factory.mktemp("reference")
    store = Store(str(folder / "keys.db"))
    key = store.create_key("reader")[0]
    store.close()
    embedding = write_embedding_model(folder / "embedding", write_small_checkpoint(folder / "base"))
    models = ({"source": "nano"}, {"source": str(embedding), "id": "small-embedding", "kind": "embedder"})
    with live_server(keys=str(folder / "keys.db"), models=models) as live:
        yield live, key


@pytest.fixture(scope="module")
def page(served: tuple[Live, str], browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(served[0].url + "/reference")
    yield page
    context.close()


def test_the_docs_point_the_same_clients_at_the_same_addresses() -> None:
    rows = [f"| {client} | {address.format(origin='http://host:8000')} |" for client, address in CLIENTS]
    table = "\n".join(["| client | give it |", "|---|---|", *rows])
    assert table in DOCS, f"docs/serve.md must hold this table:\n{table}"


def test_every_route_of_the_server_is_on_the_page(served: tuple[Live, str], page: Page) -> None:
    shown = set(page.locator(".reference code").all_text_contents())
    for endpoint in served[0].application.endpoints:
        if endpoint.documented and endpoint.path != "/openapi.json":
            assert re.sub(r":\w+}", "}", endpoint.path) in shown


def test_names_of_clients_are_code_where_the_docs_have_code(served: tuple[Live, str], page: Page) -> None:
    row = page.locator("#clients ~ .scroll tr", has_text="ClientV2").first
    expect(row.locator("th code").first).to_have_text("Client")
    expect(row.locator("td code")).to_have_text(served[0].url)


@pytest.mark.parametrize(
    "dialect", ["first", *(each.name for each in DIALECTS), "openai-embeddings", "cohere-embed-v2"]
)
def test_every_example_runs(served: tuple[Live, str], page: Page, tmp_path: Path, dialect: str) -> None:
    id = dialect.replace(".", "-") if dialect == "first" else "example-" + dialect.replace(".", "-")
    tabs = page.locator(f"[role=tablist][aria-labelledby='{id}'] [role=tab]")
    names = [name.strip() for name in tabs.all_text_contents()]
    assert [name.split(",")[0] for name in names[:3]] == ["curl", "Python", "JavaScript"]
    assert names[3:] == (["Cohere", "LangChain", "LlamaIndex", "OpenAI"] if dialect == "first" else names[3:])
    assert set(SDKS.get(dialect, [])) <= set(names)
    for tab, name in zip(tabs.all(), names, strict=True):
        code = page.locator(f"#{tab.get_attribute('aria-controls')}-text").text_content() or ""
        printed = run_code(name.split(",")[0], code, tmp_path, {"QWEN3_RERANKER_KEY": served[1]}, page)
        assert printed.strip(), name
        if name == "curl":
            # curl ends well whatever the status was.
            reply = json.loads(printed)
            assert "error" not in reply
            assert re.search(r"score|logit|probabilit|embedding|answer", printed), printed


def test_a_reply_has_the_form_of_the_servers_own(served: tuple[Live, str], page: Page, tmp_path: Path) -> None:
    def form(value: object) -> object:
        if isinstance(value, dict):
            return {name: form(each) for name, each in value.items()}
        return form(value[0]) if isinstance(value, list) and value else type(value).__name__.replace("int", "float")

    for dialect in DIALECTS:
        id = dialect.name.replace(".", "-")
        shown = json.loads(page.locator(f"pre[aria-labelledby='reply-{id}']").text_content() or "")
        code = page.locator(f"#example-{id}-curl-text").text_content() or ""
        real = json.loads(run_code("curl", code, tmp_path, {"QWEN3_RERANKER_KEY": served[1]}, page))
        assert form(shown) == form(real), dialect.name


def test_a_dialect_that_the_address_names_is_open(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/reference#llama-cpp")
    expect(page.locator("#llama-cpp")).to_have_attribute("open", "")
    page.locator("#llama-cpp").get_by_role("tab", name="JavaScript").click()
    expect(page.locator("#example-llama-cpp-javascript")).to_be_visible()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("API reference")
