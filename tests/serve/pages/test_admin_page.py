"""The page of administrators in a real browser: what it changes is so in the store, and holds for the next request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from playwright.sync_api import Locator, Page, Request, expect

from qwen3_reranker.serve.accounts.key_records import KeyRecord
from qwen3_reranker.serve.accounts.store import Store
from testing.browser import OpenPage
from testing.live_server import live_server
from tests.serve.pages.test_look import LOOK

pytestmark = pytest.mark.slow
MARKUP = "<img src=x onerror=alert(1)>"


@dataclass
class Place:
    """A server with keys, its store, and the text of a key with the scope admin."""

    url: str
    store: Store
    admin: str

    def records(self) -> dict[str, KeyRecord]:
        """Every key, by name."""
        return {record.name: record for record in self.store.all_keys()}

    def rank(self, key: str) -> int:
        """The status of a request with a key."""
        body = {"query": "undo a commit", "documents": ["git revert"]}
        return httpx2.post(f"{self.url}/v1/rerank", json=body, headers={"x-api-key": key}).status_code


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    path = str(tmp_path / "keys.db")
    store = Store(path)
    admin, _ = store.create_key("operator", scopes=["admin"])
    with live_server(keys=path, models=[{"source": "nano", "price": "0.5"}], usage_flush=0.05) as live:
        yield Place(live.url, store, admin)
    store.close()


def shown(open_page: OpenPage, place: Place, key: str | None = None, **options: object) -> Page:
    page = open_page(place.url + "/admin", **options)
    page.get_by_label("Admin key").fill(key or place.admin)
    page.get_by_role("button", name="Show keys").click()
    return page


def row(page: Page, name: str) -> Locator:
    return page.locator("#rows tr").filter(has=page.get_by_text(name, exact=True))


def field(page: Page, label: str) -> Locator:
    return page.locator("dialog[open]").get_by_label(label)


def secret(page: Page) -> str:
    text = page.locator("#secret-text").inner_text()
    page.get_by_role("button", name="I have stored it").click()
    expect(page.locator("#secret")).to_be_hidden()
    expect(page.locator("#secret-text")).to_have_text("")
    return text


def created(page: Page, name: str) -> str:
    page.get_by_role("button", name="Create a key").click()
    field(page, "Name").fill(name)
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("dialog", name=f"The text of {name}")).to_be_visible()
    return secret(page)


def test_a_key_lives_from_its_creation_to_its_end_on_the_page(open_page: OpenPage, place: Place) -> None:
    page = shown(open_page, place, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Create a key").click()
    field(page, "Name").fill("search team")
    field(page, "Models").fill("nano, random")
    field(page, "Expires").fill("30d")
    field(page, "Requests a minute").fill("600")
    field(page, "Credit in $").fill("0.5")
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    first = secret(page)
    assert page.evaluate("navigator.clipboard.readText()") == first
    expect(page.get_by_role("button", name="Create a key")).to_be_focused()
    assert place.rank(first) == 200
    made = place.records()["search team"]
    assert (made.models, made.limits.requests, made.credit_granted) == (("nano", "random"), 600, 500_000_000)
    expect(row(page, "search team")).to_contain_text("600 requests a minute")

    # Only what was changed is sent, and an emptied field takes a limit away.
    with page.expect_request(lambda request: request.method == "PATCH") as waiting:
        page.get_by_role("button", name="Change search team").click()
        field(page, "Requests a minute").fill("")
        field(page, "Budget in $").fill("20")
        page.get_by_role("button", name="Save").click()
    assert waiting.value.post_data_json == {"requests_per_minute": None, "budget": 20}
    expect(row(page, "search team")).to_contain_text("of $20.00")
    expect(page.get_by_role("button", name="Change search team")).to_be_focused()
    assert place.records()["search team"].expires == made.expires

    page.get_by_role("button", name="Top up search team").click()
    field(page, "More credit").fill("0.25")
    page.keyboard.press("Enter")
    expect(row(page, "search team")).to_contain_text("of $0.75")
    expect(page.get_by_role("status")).to_have_text("Topped up: search team")

    page.get_by_role("button", name="Rotate search team").click()
    page.get_by_role("button", name="Rotate", exact=True).click()
    expect(page.locator("#secret")).to_be_visible()
    page.keyboard.press("Escape")
    second = secret(page)
    assert [place.rank(text) for text in (first, second)] == [200, 200]

    page.get_by_role("button", name="Revoke search team").click()
    expect(page.get_by_role("button", name="Cancel").last).to_be_focused()
    page.get_by_role("button", name="Revoke for good").click()
    expect(row(page, "search team")).to_have_count(0)
    expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_focused()
    page.get_by_label("Revoked and expired keys too").check()
    expect(row(page, "search team")).to_contain_text("revoked")
    expect(row(page, "search team").get_by_role("button")).to_have_count(0)
    assert [place.rank(text) for text in (first, second)] == [401, 401]
    assert not [text for text in (first, second) if text in page.content()]
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
    assert place.admin not in kept


def test_a_name_that_is_markup_is_shown_as_text(open_page: OpenPage, place: Place) -> None:
    page = shown(open_page, place)
    created(page, MARKUP)
    expect(row(page, MARKUP)).to_be_visible()
    page.get_by_role("button", name=f"Revoke {MARKUP}").click()
    expect(page.get_by_role("dialog", name=f"Revoke {MARKUP}")).to_be_visible()
    assert page.locator("img").count() == 0


def test_a_key_that_may_not_manage_keys_is_told_so_in_plain_words(open_page: OpenPage, place: Place) -> None:
    plain, _ = place.store.create_key("plain")
    page = shown(open_page, place)
    expect(row(page, "plain")).to_be_visible()
    for key, words in ((plain, "lacks the scope admin"), ("qr_live_wrong", "does not know that key")):
        page.get_by_label("Admin key").fill(key)
        page.get_by_role("button", name="Show keys").click()
        expect(page.get_by_role("alert")).to_contain_text(words)
        expect(page.locator("#all")).to_be_hidden()


def test_what_the_server_refuses_stays_in_the_form_and_marks_the_field(open_page: OpenPage, place: Place) -> None:
    page = shown(open_page, place)
    page.get_by_role("button", name="Revoke operator").click()
    page.get_by_role("button", name="Revoke for good").click()
    expect(page.get_by_role("alert")).to_contain_text("the last valid key with the scope admin")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Create a key").click()
    field(page, "Name").fill("kept")
    field(page, "Expires").fill("soon")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Expires must be such as 12h")
    expect(field(page, "Expires")).to_be_focused()
    expect(field(page, "Expires")).to_have_attribute("aria-invalid", "true")
    expect(field(page, "Name")).to_have_value("kept")
    field(page, "Expires").fill("30d")
    for scope in ("rerank", "embeddings"):
        page.get_by_role("checkbox", name=scope).uncheck()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Scopes must be names, at least one")
    assert list(place.records()) == ["operator"]


def test_the_pages_own_key_can_be_rotated_and_the_page_goes_on(open_page: OpenPage, place: Place) -> None:
    page = shown(open_page, place)
    page.get_by_role("button", name="Rotate operator").click()
    field(page, "The old text stays valid for").select_option("0s")
    page.get_by_role("button", name="Rotate", exact=True).click()
    expect(page.locator("#secret")).to_be_visible()
    secret(page)
    created(page, "after it")
    assert httpx2.get(f"{place.url}/v1/keys", headers={"x-api-key": place.admin}).status_code == 401


def test_a_top_up_whose_answer_is_lost_adds_once_however_often_it_is_sent(open_page: OpenPage, place: Place) -> None:
    place.store.create_key("paid", credit=1_000_000_000)
    page = shown(open_page, place)
    page.get_by_role("button", name="Top up paid").click()
    field(page, "More credit").fill("2")
    send = page.get_by_role("dialog").get_by_role("button", name="Top up")
    page.route("**/top-up", lambda route: (route.fetch(), route.abort()), times=1)
    send.click()
    expect(page.get_by_role("alert")).to_contain_text("may have been made all the same")
    assert place.records()["paid"].credit_granted == 3_000_000_000
    field(page, "More credit").fill("4")
    send.click()
    expect(page.get_by_role("alert")).to_contain_text("already granted, with another amount")
    field(page, "More credit").fill("2")
    send.click()
    expect(row(page, "paid")).to_contain_text("of $3.00")


def test_a_form_that_waits_is_sent_once_and_cannot_be_closed(open_page: OpenPage, place: Place) -> None:
    page = shown(open_page, place)
    sent: list[Request] = []
    held = []
    page.route("**/v1/keys", lambda route: (sent.append(route.request), held.append(route)))
    page.get_by_role("button", name="Create a key").click()
    field(page, "Name").fill("once")
    for _ in range(2):
        page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("button", name="Cancel").first.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Create a key")).to_be_visible()
    assert len(sent) == 1
    held[0].continue_()
    expect(page.get_by_role("dialog", name="The text of once")).to_be_visible()


def test_more_keys_are_shown_a_page_at_a_time(open_page: OpenPage, place: Place) -> None:
    for number in range(100):
        place.store.create_key(f"key {number}")
    page = shown(open_page, place)
    expect(page.get_by_role("status")).to_have_text("100 keys, and more")
    page.get_by_role("button", name="More keys").click()
    expect(page.get_by_role("status")).to_have_text("101 keys")
    expect(page.locator("#rows tr")).to_have_count(101)
    expect(page.get_by_role("button", name="More keys")).to_be_hidden()


@pytest.mark.parametrize("dialog", ["list", "Create a key", "Top up paid", "Rotate paid", "Revoke paid"])
def test_list_and_dialogs_can_be_read_pressed_and_seen_whole(open_page: OpenPage, place: Place, dialog: str) -> None:
    place.store.create_key("paid", credit=-1, budget=50_000_000_000)
    page = shown(open_page, place)
    expect(row(page, "paid")).to_contain_text(re.compile(r"−\$0\.0"))
    if dialog != "list":
        page.get_by_role("button", name=dialog).click()
        assert page.evaluate("document.activeElement.closest('dialog') !== null")
    for width in (320, 390, 768, 1000, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.querySelector('dialog[open]')?.scrollWidth ?? 0") <= width
        assert page.evaluate(f"{LOOK}.overlaps()") == [], width
        assert page.evaluate(f"{LOOK}.small()") == [], width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(f"{LOOK}.contrast()")
        assert [(round(ratio, 2), what) for ratio, what in found if ratio < 4.5] == [], scheme


def test_keys_leads_to_it_where_keys_are_on_and_else_there_is_no_such_page(
    open_page: OpenPage, place: Place, address: str
) -> None:
    page = open_page(place.url + "/keys")
    page.get_by_role("link", name="all keys, their limits and budgets").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Administration of keys")
    assert "/admin" not in page.get_by_role("navigation").inner_html()
    without = httpx2.get(address + "/admin")
    assert without.status_code == 404
    assert "/admin" not in httpx2.get(address + "/keys").text
