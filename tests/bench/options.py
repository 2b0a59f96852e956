"""How a part of the benchmark runs alone: its options, and its table."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.bench.result import Result, Tails


class Options(NamedTuple):
    """rounds: of limit and measurement in turn; seconds: how long each takes; sustained: how long row e is held."""

    rounds: int = 5
    seconds: float = 4.0
    sustained: float = 60.0


def run(part: Callable[[Options], tuple[Sequence[Result], Sequence[Tails]]]) -> None:
    """Run a part, print its table; exit code 1 where a row is not reached."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=Options().rounds, help="limit and measurement in turn")
    parser.add_argument("--seconds", type=float, default=Options().seconds, help="how long each of them takes")
    parser.add_argument("--sustained", type=float, default=Options().sustained, help="how many seconds row e is held")
    options = Options(**vars(parser.parse_args()))
    results, tails = part(options)
    print(table(results, tails))
    sys.exit(not all(result.reached for result in results))


def table(results: Sequence[Result], tails: Sequence[Tails]) -> str:
    """The results as Markdown."""
    lines = ["| row | what | measured | limit | value | at least | aim | |", "|---|---|---|---|---|---|---|---|"]
    for result in results:
        sign = "≤ " if result.smaller else ""
        lines.append(
            f"| {result.row} | {result.what} | {result.measured} | {result.limit} | {result.value:.2f} | "
            f"{sign}{result.least:g} | {sign}{result.aim:g} | {'reached' if result.reached else 'MISSED'} |"
        )
    if tails:
        lines += ["", "| row | at half the load | p50 | p99 | p99.9 |", "|---|---|---|---|---|"]
        lines += [
            f"| {tail.row} | {tail.rate:,.0f}/s | {tail.p50:.1f} ms | {tail.p99:.1f} ms | {tail.p999:.1f} ms |"
            for tail in tails
        ]
    return "\n".join(lines)
