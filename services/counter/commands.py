"""Redis commands by the thousand, on their way to a script."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

Word = str | int | msgspec.Raw
Command = Sequence[Word]

_T = TypeVar("_T")
_WORDS_PER_COMMAND = 1000
_encode = msgspec.msgpack.Encoder().encode


def packed(commands: object) -> bytes:
    """Commands as one word, which a script unpacks with cmsgpack: redis-py takes a microsecond for each word."""
    return _encode(commands)


def binary(word: bytes) -> msgspec.Raw:
    """Bytes as a word. They go as msgpack's str 32: Redis 7's cmsgpack knows no bin, and Lua's strings are bytes."""
    return msgspec.Raw(b"\xdb" + len(word).to_bytes(4, "big") + word)


def parts(words: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The words of a command of any length, in parts that Lua can unpack; pairs stay together."""
    for start in range(0, len(words), _WORDS_PER_COMMAND):
        yield words[start : start + _WORDS_PER_COMMAND]
