"""Who a user agent is: a bot by name, or a browser on a system. Recognised once, then answered from a cache."""

import re
from functools import lru_cache
from typing import NamedTuple

import crawleruseragents
import ua_parser

NAMELESS = "(no user agent)"
"""The bot that says nothing of itself: browsers always send a user agent."""
_MAX_NAME = 40


class Agent(NamedTuple):
    """bot: its name, empty for people; browser and system: their families, empty for bots and where unknown."""

    bot: str
    browser: str
    system: str


@lru_cache(maxsize=65_536)
def recognise(agent: str) -> Agent:
    """What a User-Agent header says; patterns of crawler-user-agents first, then ua-parser's."""
    if not agent.strip():
        return Agent(NAMELESS, "", "")
    if crawlers := crawleruseragents.matching_crawlers(agent):
        return Agent(_name(agent, crawlers[0]), "", "")
    result = ua_parser.parse(agent)
    browser = result.user_agent.family if result.user_agent else ""
    system = result.os.family if result.os else ""
    return Agent("", browser, system)


def _name(agent: str, crawler: int) -> str:
    """The part of the user agent that gave the bot away, as it writes it itself: `Googlebot`, `AhrefsBot`, `curl`."""
    pattern = crawleruseragents.CRAWLER_USER_AGENTS_DATA[crawler]["pattern"]
    found = re.search(pattern, agent)
    name = found[0].strip(" /()") if found else ""
    return name[:_MAX_NAME] or pattern
