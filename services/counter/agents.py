"""Who a user agent is: a bot by name, or a browser on a system. Recognised once, then answered from a cache."""

import re
from functools import cache, lru_cache
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
    if crawleruseragents.is_crawler(agent):
        return Agent(_name(agent), "", "")
    result = ua_parser.parse(agent)
    browser = result.user_agent.family if result.user_agent else ""
    system = result.os.family if result.os else ""
    return Agent("", browser, system)


def _name(agent: str) -> str:
    """The part of a bot's user agent that gave it away, as it writes it itself: `Googlebot`, `AhrefsBot`, `curl`."""
    patterns = (crawler["pattern"] for crawler in crawleruseragents.CRAWLER_USER_AGENTS_DATA)
    found = next(found for pattern in patterns if (found := _compiled(pattern).search(agent)))
    return found[0].strip(" /()")[:_MAX_NAME] or found.re.pattern


# There are 1,500 patterns, and re remembers 512: `crawleruseragents.matching_crawlers` takes 90 ms for every bot, which
# is 1 ms here.
_compiled = cache(re.compile)
