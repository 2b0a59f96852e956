"""Which readers' sets are trimmed with a batch: each at most once a minute, which is most of the work saved."""

from shared.calendar import MINUTE_MS

_MOST = 16_384


class Trims:
    """The sets that were trimmed in the minute at hand. Where they are too many some are trimmed once more."""

    def __init__(self) -> None:
        self._minute = 0
        self._trimmed: set[str] = set()

    def due(self, key: str, at: int) -> bool:
        """Whether a set is to be trimmed now; then it is. at: the time of its batch, in ms."""
        minute = at // MINUTE_MS
        if minute != self._minute or len(self._trimmed) >= _MOST:
            self._minute = minute
            self._trimmed.clear()
        if key in self._trimmed:
            return False
        self._trimmed.add(key)
        return True
