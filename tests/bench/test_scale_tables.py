"""The tables of scale: rates of a real server, recorded requests, and dollars by prices that a reader can edit."""

import json
from pathlib import Path

import pytest

from benchmarks.scale.cost import PRICES, computed_tokens, costs, row_tokens, table
from benchmarks.scale.measure import Calibration
from benchmarks.scale.plan import capacity, named_rates, recorded, replayed, search
from benchmarks.scale.simulation import Rates
from qwen3_reranker import Reranker
from testing.live_server import live_server


def test_each_row_says_whether_it_was_measured_published_or_computed_and_where_it_is_from() -> None:
    for name, kind, source in [(each.name, each.kind, each.source) for each in (*costs(), *named_rates())]:
        assert kind in ("measured", "published", "computed"), name
        assert source


def test_dollars_are_the_price_of_an_hour_by_the_documents_of_an_hour(tmp_path: Path) -> None:
    known = json.loads(PRICES.read_text(encoding="utf-8"))
    known["machines"] = [{**known["machines"][0], "documents_per_second": 10.0, "dollars_per_hour": 0.36}]
    known["services"] = [{"name": "ours", "dollars_per_million_tokens": 0.5, "counts": "row", "source": "a contract"}]
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(known), encoding="utf-8")
    machine, service = costs(path)
    assert machine.dollars == pytest.approx((10.0, 10.0 * computed_tokens(256) / computed_tokens(144)))
    assert service.dollars == pytest.approx((0.5 * row_tokens(144), 0.5 * row_tokens(256)))
    assert "| $10.00 | $17.22 | $16.67 |" in table([machine])


def test_the_capacity_of_a_replica_is_what_its_tokens_allow() -> None:
    # 50 documents of 200 tokens and their endings; the query's 13 and the instruction's 18 hardly count.
    assert capacity(Rates(0.0, 0.001), search) == pytest.approx(1000 / (50 * 209 + 13), rel=0.02)


def test_recorded_requests_are_replayed_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "arrivals.jsonl"
    lines = [{"seconds": 2.0 * number, "documents": [91, 91], "query": "the same"} for number in range(5)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    requests = recorded(path)
    [named, *_] = named_rates()
    assert "5 requests, 1 replicas" in replayed(requests, named, 1, "least")
    assert [each.arrived for each in requests] == [0.0, 2.0, 4.0, 6.0, 8.0]
    alone = named.rates.front(requests[1]) + named.rates.batch + named.rates.token * 200
    assert requests[1].ended - requests[1].arrived == pytest.approx(alone)


@pytest.mark.slow
def test_the_rates_of_a_server_are_read_from_its_replies_and_metrics() -> None:
    with live_server() as live, Reranker("nano", plan_only=True) as tokens:
        calibration = Calibration(live.port, tokens, 0)
        calibration.measure(each=2, together=6)
        rates = calibration.rates()
    # A machine under load may be a hundred times slower than an idle one.
    assert 1e-6 < rates.token < 1e-2
    assert rates.slowdown >= 1
    assert calibration.capacity > 0
