"""How much less often posts are looked at on a site whose pages can't be read (A8.2)."""

from dataclasses import dataclass

from orchestrator.actors.job import Run
from orchestrator.jobs.tools import Tools

GOOD, BAD = 0.95, 0.90
"""From the first share of pages that were read it recovers, below the second it slows down."""
SLOWER, FASTER = 1.5, 0.8
MOST = 4.0
"""Never slower than so many times the interval of a post's age; never faster than that interval."""
MIN_PAGES = 10
"""Pages between two judgements: of fewer, one would decide."""


def key_of(site: str) -> str:
    """The note of the site, among those of `metrics_scraper`."""
    return f"slowdown/{site}"


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What is known of a site: the factor, and the pages since it was judged last."""

    factor: float = 1.0
    read: int = 0
    failed: int = 0
    judged: str = ""
    """What it was judged by; empty: never."""

    def after(self, read: int, failed: int) -> "Slowdown":
        """With so many more pages; judged when they are enough."""
        read, failed = self.read + read, self.failed + failed
        if read + failed < MIN_PAGES:
            return Slowdown(self.factor, read, failed, self.judged)
        share = read / (read + failed)
        factor = self.factor * (FASTER if share >= GOOD else SLOWER if share < BAD else 1.0)
        return Slowdown(min(MOST, max(1.0, factor)), judged=f"{read} of {read + failed} pages could be read")


async def recall(run: Run, tools: Tools, site: str) -> Slowdown:
    """What earlier runs have left."""
    kept = await tools.recall(run, key_of(site))
    return Slowdown() if kept is None else Slowdown(**kept)


async def remember(run: Run, tools: Tools, site: str, slowdown: Slowdown) -> None:
    """Keep it for later runs and show it."""
    value = {
        "factor": slowdown.factor,
        "read": slowdown.read,
        "failed": slowdown.failed,
        "judged": slowdown.judged,
    }
    await tools.remember(run, key_of(site), value)
    tools.metrics.scrape_slowdown.labels(site=site).set(slowdown.factor)
