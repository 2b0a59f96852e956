"""What need not be found out twice: most page views are of pages, referrers and visitors seen just before."""

from collections.abc import Callable
from typing import TypeVar

Text = TypeVar("Text", str, bytes)
T = TypeVar("T")
_MOST = 16_384
_LONGEST = 512


class Remembered(dict[Text, T]):
    """The answers of a function of a text; as a dict, for a look-up must cost less than the function.

    All are forgotten when they are many, and none is kept of a long text: visitors may make up any.
    """

    def __init__(self, function: Callable[[Text], T]) -> None:
        super().__init__()
        self._function: Callable[[Text], T] = function

    def __missing__(self, text: Text) -> T:
        answer: T = self._function(text)
        if len(text) <= _LONGEST:
            if len(self) >= _MOST:
                self.clear()
            self[text] = answer
        return answer
