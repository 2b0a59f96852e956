"""How a part of the benchmark runs: its options, its table, and what it hands to the whole (__main__.py)."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.bench.result import Result, Tails

Measured = tuple[Sequence[Result], Sequence[Tails]]
VOID = 3
"""The exit code of a run that says nothing: something was lost, refused or not shown."""


class Options(NamedTuple):
    """rounds: of limit and measurement in turn; seconds: how long each takes; sustained: how long rows e, f are held.

    events: of row c's backlog; rows: of row j's largest history.
    """

    rounds: int = 5
    seconds: float = 4.0
    sustained: float = 60.0
    events: int = 1_000_000
    rows: int = 100_000_000


class VoidError(Exception):
    """The run says nothing; why."""


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every part takes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Options()
    made.add_argument("--rounds", type=int, default=default.rounds, help="limit and measurement in turn")
    made.add_argument("--seconds", type=float, default=default.seconds, help="how long each of them takes")
    made.add_argument("--sustained", type=float, default=default.sustained, help="seconds that rows e and f are held")
    made.add_argument("--events", type=int, default=default.events, help="of row c's backlog")
    made.add_argument("--rows", type=int, default=default.rows, help="of row j's largest history")
    made.add_argument("--json", type=Path, help="a file for the results")
    return made


def run(part: Callable[[Options], Measured], description: str | None) -> None:
    """Run a part and print its table; exit code 1 where a row is not reached, VOID where the run says nothing."""
    chosen = vars(parser(description or "").parse_args())
    file = chosen.pop("json")
    try:
        results, tails = part(Options(**chosen))
    except VoidError as error:
        print(f"void: {error}", file=sys.stderr)
        sys.exit(VOID)
    if file:
        file.write_bytes(msgspec.json.encode((results, tails)))
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
        lines += ["", "| row | at half of that load | p50 | p99 | p99.9 |", "|---|---|---|---|---|"]
        lines += [
            f"| {tail.row} | {tail.rate:,.0f}/s | {tail.p50:.1f} ms | {tail.p99:.1f} ms | {tail.p999:.1f} ms |"
            for tail in tails
        ]
    return "\n".join(lines)
