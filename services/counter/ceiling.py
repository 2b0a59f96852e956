"""A ceiling for dead letters: what is wrong with everything is no fault of the events, but of a deploy.

Every shard has a level. A dead letter raises it by 1, every 100 events that are counted or rejected bring it nearer to
0 by 1. It outlives the process (in the shard's delivery hash, changed by the apply script), so that a restart loop
cannot dead-letter everything little by little. Replaying a letter lowers it by 1, below 0 too, for the letter is no
longer dead; where it dies again, it raises the level again, and counting goes on.

A level above the ceiling was let pass by a higher ceiling that has been set back since: those letters are settled, and
the level begins at 0.
"""

from collections import Counter

from services.counter.enrich import Outcome
from shared.errors import TruycapError

LETTER = 100
"""A level is kept in points, as whole numbers: so many for a letter, 1 for a good event."""


class DeadLetterCeilingError(TruycapError):
    """A batch has too many dead letters. Nothing of it was written; it stays pending."""

    code = "dead_letter_ceiling"
    exit_code = 1


def level_change(shard: int, level: int, outcome: Outcome, ceiling: int) -> int:
    """By how many points a batch changes its shard's level, in points too.

    ceiling: in letters, 0 for none. DeadLetterCeilingError where the batch would lift the level above it.
    """
    top = ceiling * LETTER
    before = 0 if top and level > top else level
    good = len(outcome.rows) + outcome.presence_only + len(outcome.rejected)
    raised = before + len(outcome.dead) * LETTER
    after = max(0, raised - good) if raised > 0 else min(0, raised + good)
    if top and after > max(before, top):
        raise DeadLetterCeilingError(_message(shard, before, after, outcome, ceiling))
    return after - level


def _message(shard: int, before: int, after: int, outcome: Outcome, ceiling: int) -> str:
    letters = Counter(letter.reason for letter in outcome.dead)
    events: Counter[str] = Counter()
    for letter in outcome.dead:
        events[letter.reason] += letter.content.n
    reasons = ", ".join(f"{reason}: {number:,} with {events[reason]:,}" for reason, number in sorted(letters.items()))
    return (
        f"Counting stops: a batch of shard {shard} has {letters.total():,} dead letters with {events.total():,} events "
        f"({reasons}). It would lift the shard's level from {before / LETTER:,.0f} to {after / LETTER:,.0f}, above "
        f"TRUYCAP_DEAD_LETTER_CEILING={ceiling}. Nothing of it was dead-lettered or lost. Go back to the earlier "
        "version; or put a removed site back into truycap.toml; or, if these events are really bad, set "
        f"TRUYCAP_DEAD_LETTER_CEILING to at least {-(-after // LETTER)} for this batch (0 for no ceiling)."
    )
