"""Redis commands by the thousand, on their way to a script."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeVar

import msgspec

from shared.redis import script

Word = str | int | msgspec.Raw
Command = Sequence[Word]

_T = TypeVar("_T")
_WORDS_PER_COMMAND = 1000
_RUN = script("services.counter", "run.lua")
_encode = msgspec.msgpack.Encoder().encode


def running(name: str) -> str:
    """A script of the counter that runs packed commands."""
    flags, _, rest = script("services.counter", name).partition("\n")
    return f"{flags}\n{_RUN}{rest}"


def packed(commands: Sequence[Command]) -> bytes:
    """Commands as one word for a script's `run`: redis-py takes a microsecond for each word.

    Two arrays in msgpack: how many words each command has, and all words, one after the other. An array for each
    command would be a table of Lua's for each.
    """
    return _encode((list(map(len, commands)), list(chain.from_iterable(commands))))


def binary(word: bytes) -> msgspec.Raw:
    """Bytes as a word. They go as msgpack's str 32: Redis 7's cmsgpack knows no bin, and Lua's strings are bytes."""
    return msgspec.Raw(b"\xdb" + len(word).to_bytes(4, "big") + word)


def parts(words: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The words of a command of any length, in parts that Lua can unpack; pairs stay together."""
    for start in range(0, len(words), _WORDS_PER_COMMAND):
        yield words[start : start + _WORDS_PER_COMMAND]
