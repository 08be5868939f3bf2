"""Every page is sound HTML that loads nothing from elsewhere, runs nothing inline, and says what is so."""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from qwen3_reranker import Reranker
from qwen3_reranker.model_facts import KNOWN, NANO, RERANKING
from qwen3_reranker.serve.pages import Site, page_endpoints, page_not_found
from qwen3_reranker.serve.pages.quality_plot import quality_plot
from testing.live_server import Live
from tests.serve.pages.markup import Element, Markup

ASSETS = files("qwen3_reranker.serve.pages") / "assets"
PATHS = (
    "/",
    "/models",
    "/keys",
    "/admin",
    "/reference",
    "/nothing/here",
    "/models/nano",
    "/models/random",
    *(f"/models/{x.id}" for x in KNOWN[1:]),
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def routes(site: Site) -> list[Route]:
    return [Route(endpoint.path, endpoint.handler) for endpoint in page_endpoints(site)]


def app_of(site: Site) -> Starlette:
    """The pages alone, so that any site can be shown."""
    answer = page_not_found(site)
    return Starlette(routes=routes(site), exception_handlers={404: lambda request, _: answer(request)})


@pytest.fixture(scope="package")
def site(live: Live) -> Site:
    return Site.of(live.application.context.models, keys_required=False, version="0.1.0")


@pytest.fixture(scope="package", params=[False, True], ids=["open", "keyed"])
def client(site: Site, request: pytest.FixtureRequest) -> TestClient:
    return TestClient(app_of(replace(site, keys_required=request.param)))


def markup(client: TestClient, path: str) -> Markup:
    return Markup(client.get(path).text)


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_whole_and_has_its_landmarks(client: TestClient, path: str) -> None:
    page = markup(client, path)
    assert client.get(path).headers["content-type"] == "text/html; charset=utf-8"
    for tag in ("main", "header", "footer", "h1", "title"):
        assert len(page.all(tag)) == 1, tag
    assert page.all("html")[0].attributes["lang"] == "en"
    assert all(each.text.strip() or each.attributes.get("aria-label") for each in page.all("a", "button", "h2", "h3"))
    assert all("aria-label" in each.attributes for each in page.all("nav"))
    assert page.all("a")[0].attributes["href"] == "#content"


@pytest.mark.parametrize("path", PATHS)
def test_headings_go_down_one_level_at_a_time(client: TestClient, path: str) -> None:
    levels = [int(each.tag[1]) for each in markup(client, path).all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


@pytest.mark.parametrize("path", PATHS)
def test_every_id_is_unique_and_whatever_points_to_one_finds_it(client: TestClient, path: str) -> None:
    page = markup(client, path)
    ids = page.ids()
    assert set(ids.values()) == {1}
    for element in page.elements:
        for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls", "data-copies"):
            for target in element.attributes.get(name, "").split():
                assert target in ids, f"{element.tag} {name}={target}"


@pytest.mark.parametrize("path", PATHS)
def test_every_control_has_a_label_and_every_label_a_control(client: TestClient, path: str) -> None:
    page = markup(client, path)
    controls = {each.attributes["id"] for each in page.all("input", "textarea", "select")}
    labelled = {each.attributes["for"] for each in page.all("label")}
    assert controls == labelled


@pytest.mark.parametrize("path", PATHS)
def test_nothing_runs_inline_and_nothing_comes_from_elsewhere(client: TestClient, path: str) -> None:
    page = markup(client, path)
    assert not page.all("style", "base", "iframe", "object", "embed")
    for element in page.elements:
        assert "style" not in element.attributes
        assert not [name for name in element.attributes if name.startswith("on")]
    loaded = [each.attributes.get("src", "") for each in page.all("script", "img")]
    loaded += [each.attributes["href"] for each in page.all("link")]
    assert all(each.text == "" for each in page.all("script"))
    for address in loaded:
        assert re.fullmatch(r"/assets/[0-9a-f]{16}/[a-z]+\.(js|css|svg)", address)
        assert client.get(address).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_every_link_within_the_site_leads_to_a_page(client: TestClient, path: str) -> None:
    for link in markup(client, path).all("a"):
        target = link.attributes["href"]
        if target.startswith("/") and target != "/openapi.json":
            assert client.get(target, follow_redirects=False).status_code == 200, target
        elif not target.startswith(("/", "#")):
            assert re.match(r"https://(huggingface\.co|arxiv\.org|github\.com)/", target)
            assert link.attributes["rel"] == "noreferrer"


@pytest.mark.parametrize("path", [*PATHS, "/assets/0/style.css"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_assets_may_be_kept_for_ever_under_an_address_that_changes_with_them(client: TestClient) -> None:
    address = markup(client, "/").all("script")[0].attributes["src"]
    first = client.get(address)
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get(address, headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert client.get(address, headers={"if-none-match": '"another"'}).content == first.content
    digest = address.split("/")[2]
    assert client.get(address.replace(digest, "0" * 16)).status_code == 404
    assert client.get(address.replace("playground.js", "..%2Froutes.py")).status_code == 404


def test_pages_themselves_are_asked_for_again(client: TestClient) -> None:
    assert client.get("/models").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", sorted(each.name for each in ASSETS.iterdir()))
def test_an_asset_names_no_other_host_and_keeps_nothing(name: str) -> None:
    source = (ASSETS / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|url\(", source)
    assert not re.search(
        r"localStorage|sessionStorage|indexedDB|cookie|innerHTML|outerHTML|insertAdjacent|\beval\b", source
    )
    for imported in re.findall(r'from "([^"]*)"', source):
        assert (ASSETS / imported.removeprefix("./")).is_file()


def test_the_catalogue_shows_every_model_and_which_are_live(client: TestClient) -> None:
    page = markup(client, "/models")
    text = page.all("main")[0].text
    assert all(each.name in text for each in KNOWN)
    badges = [each.text for each in page.all("span") if "status-badge" in each.attributes.get("class", "")]
    # nano, under two names, and a model of nobody's.
    assert badges.count("served here") == 2
    assert badges.count("can be served") == len(KNOWN) - 1


@pytest.mark.parametrize("id", [each.id for each in KNOWN])
def test_a_models_page_has_its_specification_and_scores_with_their_source(client: TestClient, id: str) -> None:
    [specification] = [each for each in KNOWN if each.id == id]
    page = markup(client, f"/models/{id}")
    cells = [each.text for each in page.all("td")]
    assert f"{specification.config.num_parameters:,}" in cells
    assert specification.licence in cells
    assert all(row.value in cells for row in specification.scores.rows)
    assert specification.scores.source in page.all("main")[0].text
    assert 5 <= len(page.all("summary")) <= 10
    assert all(each.text.strip().endswith("?") for each in page.all("summary"))


def test_every_score_stands_beside_its_difference_to_the_baseline(client: TestClient) -> None:
    cells = [each.text for each in markup(client, "/models/Qwen/Qwen3-Reranker-0.6B").all("td")]
    assert [cells[cells.index("73.42") + step] for step in (1, 2)] == ["75.41", "−1.99"]
    assert "+3.98" in cells


def test_all_that_is_said_of_nanos_quality_is_one_statement(client: TestClient) -> None:
    text = " ".join(markup(client, "/models/nano").all("main")[0].text.split())
    assert text.count(NANO.scores.statement) == 3
    rest = text.replace(NANO.scores.statement, "")
    assert not re.search(r"BM25[^.]*\b(above|below|better|worse)|\b(above|below|better|worse)[^.]*BM25", rest)


def test_models_that_were_measured_alike_are_plotted_by_size_and_score(client: TestClient) -> None:
    [plot] = [quality_plot(each, KNOWN) for each in KNOWN if each.id == "Qwen/Qwen3-Reranker-4B"]
    assert plot is not None
    assert [point.value for point in plot.points] == ["65.80", "69.76", "69.02"]
    xs, ys = [point.x for point in plot.points], [point.y for point in plot.points]
    assert xs == sorted(xs)
    assert ys[1] < ys[2] < ys[0] < plot.baseline[1]  # type: ignore[index]
    assert [
        each
        for each in markup(client, "/models/Qwen/Qwen3-Reranker-4B").all("svg")
        if "69.76" in each.attributes.get("aria-label", "")
    ]
    assert quality_plot(NANO, KNOWN) is None


def test_speed_is_what_the_batches_took(live: Live) -> None:
    context = live.application.context
    site = Site.of(context.models, keys_required=False, version="0", metrics=context.metrics)
    speed = site.speed(site.models[0])
    assert speed is not None
    tokens, seconds = context.metrics.batch_sums("nano")
    assert (speed.tokens, speed.seconds) == (tokens, seconds)
    assert speed.documents_per_second == pytest.approx(tokens / seconds / 150)
    page = Markup(httpx2.get(live.url + "/models/nano").text).all("main")[0].text
    assert "documents of 150 tokens a second" in page
    assert site.speed(replace(site.models[0], id="never run")) is None


def test_a_usual_request_costs_its_tokens(site: Site) -> None:
    reranker = Reranker("nano")
    [entry] = [each for each in site.entries(KNOWN) if each.id == "nano"]
    # Words of one token each, as many as a usual query and document have.
    ranking = reranker.rank("the" + " the" * 9, ["the" + " the" * 149] * 100)
    receipt = ranking[0].receipt
    assert (receipt.query_tokens, receipt.document_tokens) == (10, 150)
    assert entry.typical_tokens == ranking.usage.prompt_tokens
    priced = Markup(TestClient(app_of(site)).get("/models/nano").text).all("main")[0].text
    assert f"${Decimal('0.02') * ranking.usage.prompt_tokens / 1_000_000:f}" in priced


def test_an_available_model_is_shown_with_the_command_that_serves_it(client: TestClient) -> None:
    for each in KNOWN[1:]:
        flag = "--model" if each.task == RERANKING else "--embedder"
        assert f"qwen3-reranker serve {flag} {each.id}" in markup(client, f"/models/{each.id}").all("main")[0].text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("/models/NANO", "/models/nano"),
        ("/models/nano-short", "/models/nano"),
        ("/models/random-latest", "/models/random"),
        ("/models/qwen/qwen3-reranker-0.6b", "/models/Qwen/Qwen3-Reranker-0.6B"),
    ],
)
def test_a_model_is_found_by_any_of_its_names(client: TestClient, asked: str, found: str) -> None:
    reply = client.get(asked, follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (308, found)


@pytest.mark.parametrize("path", ["/models/Qwen/Qwen3-Reranker-99B", "/models/", "/nothing", "/keys/x"])
def test_an_address_without_a_page_answers_404_in_the_same_look(client: TestClient, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 404
    assert "There is no page here" in reply.text


def test_prices_are_shown_as_they_were_set(client: TestClient) -> None:
    assert "$0.02" in markup(client, "/models/nano").all("aside")[0].text
    assert "free" in markup(client, "/models/random").all("aside")[0].text


def test_the_playground_asks_for_a_key_only_where_one_is_needed(site: Site) -> None:
    def fields(keys: bool) -> list[Element]:
        page = Markup(TestClient(app_of(replace(site, keys_required=keys))).get("/").text)
        return [each for each in page.all("input") if each.attributes["type"] == "password"]

    assert fields(False) == []
    [key] = fields(True)
    assert key.attributes["autocomplete"] == "off"
    assert "name" not in key.attributes


def test_the_playground_begins_with_the_model_that_was_asked_for(client: TestClient) -> None:
    def chosen(path: str) -> list[str]:
        return [x.attributes["value"] for x in markup(client, path).all("option") if "selected" in x.attributes]

    assert chosen("/")[0] == "nano"
    assert chosen("/?model=random") == ["random", "nano"]
    assert chosen("/?model=%3Cscript%3E")[0] == "nano"


def test_a_server_without_rerankers_says_how_to_get_one(site: Site) -> None:
    page = TestClient(app_of(replace(site, models=()))).get("/")
    assert page.status_code == 200
    assert "qwen3-reranker serve" in page.text


def test_a_model_that_is_not_ready_is_marked(site: Site) -> None:
    ready = False
    models = (replace(site.models[0], is_ready=lambda: ready),)
    client = TestClient(app_of(replace(site, models=models)))
    assert "(not ready)" in client.get("/").text
    ready = True
    assert "(not ready)" not in client.get("/").text


def test_names_of_models_are_text_wherever_they_stand(site: Site) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    models = (replace(site.models[0], id=evil, repository=evil, default_instruction=evil, aliases=(evil,)),)
    client = TestClient(app_of(replace(site, models=models)))
    for path in ("/", "/models", "/models/" + evil):
        reply = client.get(path)
        assert reply.status_code == 200
        assert not Markup(reply.text).all("img")


def test_a_hostile_host_header_does_not_reach_a_command_that_people_copy(site: Site) -> None:
    client = TestClient(app_of(site))
    for host in ("x$(id)", "a';reboot;'", "a&b"):
        text = html.unescape(client.get("/models/nano", headers={"host": host}).text)
        assert "curl 'http://localhost:8000/v1/rerank'" in text
        assert host not in text
    assert "curl 'http://search.example:8443/v1/rerank'" in html.unescape(
        client.get("/models/nano", headers={"host": "search.example:8443"}).text
    )


def test_the_reference_names_the_address_of_each_visitor(site: Site) -> None:
    client = TestClient(app_of(site))
    for host in ("one.example", "two.example:81", "a&b"):
        text = client.get("/reference", headers={"host": host}).text
        address = f"http://{host}" if "&" not in host else "http://localhost:8000"
        assert text.count(f"curl &#39;{address}/") > 20
        assert set(re.findall(r"curl &#39;(http://[^/]*)/", text)) == {address}


def test_behind_a_path_every_link_of_ours_carries_it(site: Site) -> None:
    client = TestClient(Starlette(routes=[Mount("/rank", routes=routes(replace(site, keys_required=True)))]))
    for path in ("/rank/", "/rank/models", "/rank/models/nano", "/rank/keys", "/rank/admin", "/rank/reference"):
        page = markup(client, path)
        links = [each.attributes.get("href", each.attributes.get("src")) for each in page.all("a", "link", "script")]
        ours = [each for each in links if each.startswith("/")]
        assert ours
        assert all(each.startswith("/rank/") for each in ours)
        assert client.get(page.all("link")[1].attributes["href"]).status_code == 200
    assert client.get("/rank/models/NANO", follow_redirects=False).headers["location"] == "/rank/models/nano"


def test_the_page_of_keys_says_how_to_turn_them_on_where_they_are_off(site: Site) -> None:
    assert "serve --keys" in TestClient(app_of(site)).get("/keys").text
    assert "serve --keys" not in TestClient(app_of(replace(site, keys_required=True))).get("/keys").text


def test_where_scripts_do_not_run_the_pages_that_need_them_say_so(client: TestClient, site: Site) -> None:
    assert [each.text for each in markup(client, "/").all("noscript") if "needs JavaScript" in each.text]
    keyed = TestClient(app_of(replace(site, keys_required=True)))
    for path in ("/keys", "/admin"):
        assert [each.text for each in markup(keyed, path).all("noscript") if "needs JavaScript" in each.text]


def test_the_server_itself_answers_with_these_pages(live: Live) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path in ("/", "/models", "/models/nano", "/keys"):
        assert httpx2.get(live.url + path, headers=browser).headers["content-security-policy"] == POLICY
    lost = httpx2.get(live.url + "/nothing", headers=browser)
    assert (lost.status_code, "There is no page here" in lost.text) == (404, True)
    assert httpx2.get(live.url + "/nothing").json()["error"]["code"] == "not_found"


def test_nobody_learns_the_servers_folders(client: TestClient, small_checkpoint: Path) -> None:
    for path in ("/", "/models", "/models/random"):
        assert str(small_checkpoint.parent) not in client.get(path).text
    assert f'Reranker("path/to/{small_checkpoint.name}")' in markup(client, "/models/random").all("main")[0].text
