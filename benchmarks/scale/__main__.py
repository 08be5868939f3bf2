"""Replicas of the server, by simulation: rates that are measured here, arrivals that are given, and what they cost.

python -m benchmarks.scale validate            # a real server and its simulation, the same arrivals; some 5 minutes
"""

from __future__ import annotations

import argparse

from benchmarks.scale.validate import rates_line, table, validate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("validate",))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.3, 0.6, 0.85], help="shares of the capacity")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", action="store_true", help="before other programs of this machine, as root on Linux")
    chosen = parser.parse_args()
    compared = validate(chosen.model, chosen.loads, chosen.seconds, chosen.seed, first=chosen.first)
    print(table(compared))
    for each in compared:
        print(f"\n{each.load:.0%}: {rates_line(each.rates)}")


if __name__ == "__main__":
    main()
