"""What a site's robots.txt lets us read, as RFC 9309 has it."""

AGENT = "orchestrator"
"""By this name robots.txt may speak of us."""
MAX_ROBOTS_BYTES = 512 << 10  # what RFC 9309 wants to be read at least is 500 KiB


class Robots:
    """The rules of one robots.txt; an empty text, as where there is none, allows all."""

    def __init__(self, text: str) -> None:
        from protego import Protego  # most houses read nothing of others

        self._rules = Protego.parse(text)

    def allows(self, url: str) -> bool:
        return self._rules.can_fetch(url, AGENT)
