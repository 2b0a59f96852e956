"""A ceiling for dead letters: what is wrong with everything is no fault of the events, but of a deploy.

Every shard has a level. A dead letter raises it by 1, every 100 events that are counted or rejected bring it nearer to
0 by 1. It outlives the process (in the shard's delivery hash, changed by the apply script), so that a restart loop
cannot dead-letter everything little by little. A letter that was replayed and dies again raises it no further.

A level above the ceiling was let pass by a higher ceiling that has been set back since: those letters are settled, and
the level begins at 0.
"""

from collections import Counter
from collections.abc import Collection

from services.counter.outcome import Outcome
from shared.errors import TruycapError
from shared.streams import EntryId

LETTER = 100
"""A level is kept in points, as whole numbers: so many for a letter, 1 for a good event."""


class DeadLetterCeilingError(TruycapError):
    """A batch has too many dead letters. Nothing of it was written; it stays pending."""

    code = "dead_letter_ceiling"
    exit_code = 1


def level_change(shard: int, level: int, outcome: Outcome, replayed: Collection[EntryId], ceiling: int) -> int:
    """By how many points a batch changes its shard's level, in points too.

    replayed: the entries that were dead letters; ceiling: in letters, 0 for none. DeadLetterCeilingError where the
    batch would lift the level above it.
    """
    top = ceiling * LETTER
    standing = max(0, level)
    before = 0 if top and standing > top else standing
    good = outcome.counted + len(outcome.rejected)
    change = sum(letter.position.entry not in replayed for letter in outcome.dead) * LETTER - good
    after = max(0, before + change)
    if top and after > max(before, top):
        # Reckoned from the level as it stands: under a higher ceiling it is not settled.
        suffices = -(-(standing + change) // LETTER)
        raise DeadLetterCeilingError(_message(shard, (before, after), outcome, ceiling, suffices))
    return after - level


def _message(shard: int, levels: tuple[int, int], outcome: Outcome, ceiling: int, suffices: int) -> str:
    before, after = levels
    letters = Counter(letter.reason for letter in outcome.dead)
    events: Counter[str] = Counter()
    for letter in outcome.dead:
        events[letter.reason] += letter.content.n
    reasons = ", ".join(f"{reason}: {number:,} with {events[reason]:,}" for reason, number in sorted(letters.items()))
    return (
        f"Counting stops: a batch of shard {shard} has {letters.total():,} dead letters with {events.total():,} events "
        f"({reasons}). It would lift the shard's level from {before / LETTER:,.2f} to {after / LETTER:,.2f}, above "
        f"TRUYCAP_DEAD_LETTER_CEILING={ceiling}. Nothing of it was dead-lettered or lost. Go back to the earlier "
        "version; or put a removed site back into truycap.toml; or, if these events are really bad, set "
        f"TRUYCAP_DEAD_LETTER_CEILING to at least {suffices} for this batch (0 for no ceiling)."
    )
