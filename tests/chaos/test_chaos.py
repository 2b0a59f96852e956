"""A short run of the chaos suite, and proof that it can fail: a guarantee that is broken on purpose must be missed."""

import pytest

from tests.chaos.points import Point
from tests.chaos.run import Spec
from tests.chaos.sabotage import Sabotage
from tests.chaos.suite import carry_out, plan, run_apart
from tests.chaos.world import Backend

KILLS = 30
SEED = "make-test"

ZOMBIE = f"stop at: {Point.BEFORE_INSERT}"
"""A counter that may still insert, falls asleep, and does so when its shards are long in other hands."""

ZOMBIES = [ZOMBIE, f"stop at: {Point.INSERTED}", f"stop at: {Point.APPLYING}"]

SABOTAGES = {
    Sabotage.NO_TOKEN: ([ZOMBIE], "counted 2 times: "),
    Sabotage.NO_FENCE: (ZOMBIES, "counted 2 times: "),
    Sabotage.APPLY_FIRST: ([f"kill at: {Point.BEFORE_INSERT}"], "lost: "),
    Sabotage.TRIM: (["ClickHouse hangs"], "lost: "),
    Sabotage.GROUP_AT_END: ([], "lost: "),
    Sabotage.NO_WINDOW: ([ZOMBIE], "items, views"),
}
"""Which faults bring each sabotage to light, and what the check must then say."""


@pytest.mark.timeout(900)
async def test_nothing_is_lost_and_nothing_counted_twice() -> None:
    results = [result async for result in carry_out(plan(KILLS, SEED))]
    again = f"again: make chaos KILLS={KILLS} SEED={SEED}"
    assert [line for result in results for line in result.violations] == [], again
    assert sum(result.kills for result in results) >= KILLS
    assert {result.spec.backend for result in results} == set(Backend)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("sabotage", SABOTAGES, ids=str)
async def test_a_broken_guarantee_is_seen(sabotage: Sabotage) -> None:
    faults, said = SABOTAGES[sabotage]
    found: list[str] = []
    # What is broken shows where a fault strikes at the wrong moment: where other work fills the machine, not each time.
    for attempt in range(3):
        spec = Spec(
            f"sabotage {attempt}", Backend.HTTP, 0, faults=3 * len(faults), only=faults, sabotage=sabotage, quiet=12
        )
        result = await run_apart(spec)
        found += result.violations
        if any(said in line for line in found):
            return
    pytest.fail(f"not seen in three runs: {found}")
