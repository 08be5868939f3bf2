"""The page of a key, in a real browser, on what the playground used with that key before."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from qwen3_reranker.serve.accounts.key_records import KeyLimits
from qwen3_reranker.serve.accounts.store import Store
from testing.browser import OpenPage
from tests.serve.pages.conftest import Keyed

pytestmark = pytest.mark.slow


def shown(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Show usage").click()


def used(open_page: OpenPage, keyed: Keyed) -> int:
    """Rank twice, and return the tokens that were charged."""
    page = open_page(keyed.url)
    page.get_by_label("API key").fill(keyed.key)
    charged = 0
    for model in ("nano", "random"):
        page.locator("#model-a").select_option(model)
        page.get_by_role("button", name="Rank", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("Ranked")
        charged += int(page.locator(".figures dd").first.inner_text().replace(",", ""))
        page.locator("#rankings").evaluate("node => node.replaceChildren()")
    return charged


def test_it_shows_credit_a_plot_and_the_same_as_a_table(open_page: OpenPage, keyed: Keyed) -> None:
    charged = used(open_page, keyed)
    page = open_page(keyed.url + "/keys")
    shown(page, keyed.key)
    expect(page.get_by_role("status")).to_have_text("Usage of search page")
    expect(page.locator("#credit")).to_contain_text("left of $5.00")
    plot = page.get_by_role("img", name=re.compile("^Tokens a day"))
    expect(plot).to_be_visible()
    expect(page.locator("figcaption")).to_have_text(f"{charged:,} tokens in 30 days, by UTC.")
    heights = [float(bar.get_attribute("height") or 0) for bar in page.locator(".day").all()]
    assert len(heights) == 30
    assert heights[-1] > 50
    assert not any(heights[:-1])
    page.get_by_text("Day by day, as a table").click()
    rows = [row.inner_text() for row in page.locator("#table tbody tr").all()]
    assert len(rows) == 2
    tokens = [int(row.split("\t")[4].replace(",", "")) for row in rows]
    assert sum(tokens) == charged
    models = [row.inner_text().split("\t") for row in page.locator("#by-model tbody tr").all()]
    assert {row[0] for row in models} == {"nano", "random"}
    by_model = [int(row[3].replace(",", "")) for row in models]
    assert by_model == sorted(tokens, reverse=True)


def test_it_shows_the_limits_of_the_key(open_page: OpenPage, keyed: Keyed) -> None:
    store = Store(keyed.place)
    limited = store.create_key("limited", limits=KeyLimits(requests=600, tokens=20_000, concurrency=4))[0]
    store.close()
    page = open_page(keyed.url + "/keys")
    shown(page, limited)
    limits = page.locator("#limits")
    expect(limits).to_contain_text("600")
    assert [each.inner_text() for each in limits.locator("dd").all()] == ["600", "20,000", "4", "all", "never"]
    shown(page, keyed.key)
    expect(limits.locator("dd").first).to_have_text("no limit")


def test_other_measures_are_chosen_by_keyboard(open_page: OpenPage, keyed: Keyed) -> None:
    used(open_page, keyed)
    page = open_page(keyed.url + "/keys")
    shown(page, keyed.key)
    page.get_by_role("radio", name="Tokens").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("figcaption")).to_have_text("2 requests in 30 days, by UTC.")
    expect(page.get_by_role("img", name=re.compile("^Requests a day"))).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("figcaption")).to_have_text(re.compile(r"^\$0\.0{2,}[1-9]\d* cost in 30 days, by UTC\.$"))


def test_a_key_that_has_used_nothing_gets_an_empty_plot(open_page: OpenPage, keyed: Keyed) -> None:
    page = open_page(keyed.url + "/keys")
    shown(page, keyed.key)
    expect(page.locator("figcaption")).to_have_text("0 tokens in 30 days, by UTC.")
    page.get_by_text("Day by day, as a table").click()
    expect(page.locator("#table tbody")).to_have_text("No requests yet.")
    expect(page.locator("#by-model tbody")).to_have_text("No requests yet.")


def test_a_wrong_key_is_refused_and_the_account_of_the_one_before_is_gone(open_page: OpenPage, keyed: Keyed) -> None:
    page = open_page(keyed.url + "/keys")
    shown(page, keyed.key)
    expect(page.locator("#account")).to_be_visible()
    shown(page, "qr_live_wrong")
    expect(page.get_by_role("alert")).to_contain_text("does not know that key")
    expect(page.locator("#account")).to_be_hidden()
    expect(page.get_by_label("API key")).to_be_focused()
    expect(page.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
    page.keyboard.type("x")
    expect(page.get_by_role("alert")).to_be_hidden()
    assert keyed.key not in page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
    )


def test_where_keys_are_off_it_says_how_to_turn_them_on(open_page: OpenPage, address: str) -> None:
    page = open_page(address + "/keys", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert "qwen3-reranker serve --keys keys.db" in page.evaluate("navigator.clipboard.readText()")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys are off")
    expect(page.get_by_label("API key")).to_have_count(0)
    expect(page.get_by_text("qwen3-reranker serve --keys keys.db")).to_be_visible()
