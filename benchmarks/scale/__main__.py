"""Replicas of the server, by simulation: rates that are measured here, arrivals that are given, and what they cost.

    python -m benchmarks.scale validate            # a real server and its simulation, the same arrivals; 5 minutes
    python -m benchmarks.scale rates --model MODEL --serve=--precision=int8 > mine.json
    python -m benchmarks.scale plan                # load, replicas, batches, routing, machines, by rates.json
    python -m benchmarks.scale replay --arrivals FILE --replicas 4      # requests that you recorded, by rates.json
    python -m benchmarks.scale cost                # dollars a million documents, by prices.json

Put your own rates and prices into copies of these files: `--rates FILE`, `--prices FILE`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.scale import cost, plan
from benchmarks.scale.simulation import ROUTINGS
from benchmarks.scale.validate import measured_rates, rates_line, table, validate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("validate", "rates", "plan", "replay", "cost"))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--serve", action="append", default=[], help="argument of `qwen3-reranker serve`, for rates")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.3, 0.6, 0.85], help="shares of the capacity")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=30, help="of each size, for rates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", action="store_true", help="before other programs of this machine, as root on Linux")
    parser.add_argument("--searches", type=float, default=1000, help="a second, for the count of machines")
    parser.add_argument("--arrivals", type=Path, help='lines of {"seconds": 1.5, "documents": [210, 190]}, for replay')
    parser.add_argument("--replicas", type=int, default=1, help="for replay")
    parser.add_argument("--routing", choices=ROUTINGS, default="least", help="for replay")
    parser.add_argument("--rates", type=Path, default=plan.RATES)
    parser.add_argument("--prices", type=Path, default=cost.PRICES)
    chosen = parser.parse_args()
    if chosen.part == "validate":
        compared = validate(chosen.model, chosen.loads, chosen.seconds, chosen.seed, first=chosen.first)
        print(table(compared))
        for each in compared:
            print(f"\n{each.load:.0%}: {rates_line(each.rates)}")
    elif chosen.part == "rates":
        rates = measured_rates(chosen.serve, chosen.model, chosen.seed, first=chosen.first, rounds=chosen.rounds)
        entry = {**asdict(rates), "batch_tokens": 1024, "kind": "measured", "source": "here"}
        print(json.dumps({chosen.model: entry}, indent=2))
    elif chosen.part == "plan":
        plan.show(plan.named_rates(chosen.rates), chosen.searches)
    elif chosen.part == "replay":
        requests = plan.recorded(chosen.arrivals)
        for each in plan.named_rates(chosen.rates):
            print(plan.replayed([replace(one) for one in requests], each, chosen.replicas, chosen.routing))
    else:
        print(cost.table(cost.costs(chosen.prices)))


if __name__ == "__main__":
    main()
