"""The search page in a real browser: what it shows is what /v1/search answers, and its address keeps the search."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from testing.browser import OpenPage
from tests.serve.pages.conftest import Keyed

pytestmark = pytest.mark.slow


def found(page: Page, query: str) -> None:
    page.get_by_label("Query").fill(query)
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"judged|Nothing"))


def test_it_shows_what_the_route_answers(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}/search")
    found(page, "take back a commit")
    body = {"query": "take back a commit"}
    reply: dict[str, Any] = httpx2.post(f"{address}/v1/search", json=body).json()
    lines = [(each["path"], each["first_line"], each["last_line"]) for each in reply["results"]]
    assert page.locator(".found-at code").all_inner_texts() == [
        f"{path}:{first}" if first == last else f"{path}:{first}–{last}" for path, first, last in lines
    ]
    shown = [text.split()[-1] for text in page.locator(".probability").all_inner_texts()]
    assert shown == [f"{each['probability']:.3f}" for each in reply["results"]]
    assert f"{reply['judged']} of {reply['candidates']} candidates judged" in page.get_by_role("status").inner_text()
    assert page.locator(".figures dt").all_inner_texts() == ["finding", "judging", "in all", "cost"]


def test_words_of_the_query_are_marked_in_any_script_and_markup_stays_text(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}/search")
    found(page, "commit")
    assert set(page.locator("mark").all_inner_texts()) == {"commit"}
    assert "<b>commit</b>" in page.locator(".hits").inner_text()
    found(page, "提交")
    assert page.locator("mark").all_inner_texts() == ["提交"]


def test_filters_and_the_time_are_sent(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}/search")
    page.get_by_label("Path").fill("*.py")
    page.get_by_label("Time").fill("0")
    with page.expect_request("**/v1/search") as asked:
        found(page, "commit")
    assert asked.value.post_data_json == {"query": "commit", "budget_seconds": 0.2, "path": "*.py"}
    expect(page.locator(".found-at code")).to_have_text("commit.py:1–2")
    page.get_by_label("Path").fill("")
    page.get_by_label("Collection").fill("records")
    found(page, "commit")
    expect(page.locator(".found-at code")).to_have_text(re.compile("^r1:"))
    assert page.locator("#collections option").count() == 2


def test_the_address_keeps_the_search_and_repeats_it(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}/search")
    page.get_by_label("Path").fill("*.md")
    found(page, "take back a commit")
    again = open_page(page.url)
    expect(again.locator(".hit")).to_have_count(page.locator(".hit").count())
    expect(again.get_by_label("Path")).to_have_value("*.md")


def test_nothing_found_and_what_is_refused_is_said(open_page: OpenPage, address: str) -> None:
    page = open_page(f"{address}/search")
    found(page, "zzzz")
    expect(page.get_by_role("status")).to_contain_text("Nothing was found")
    page.get_by_label("Collection").fill("no such")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("400 The request cannot be used")
    expect(page.get_by_role("alert")).to_contain_text("notes, records")


def test_with_keys_it_asks_for_one(open_page: OpenPage, keyed: Keyed) -> None:
    page = open_page(f"{keyed.url}/search")
    page.get_by_label("API key").fill("qr_live_wrong")
    page.get_by_label("Query").fill("commit")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("401")
    page.get_by_label("API key").fill(keyed.key)
    found(page, "commit")
    assert "commit" not in httpx2.get(f"{keyed.url}/search").text
    assert keyed.key not in page.url
    expect(page.locator(".figures")).to_contain_text("cost")
