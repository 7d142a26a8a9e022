"""Job `competitive_analysis`: what works for peers, and how our posts stand to theirs."""

from datetime import timedelta
from statistics import median

from orchestrator.actors.job import Job, Run
from orchestrator.db import findings, peers
from orchestrator.db.findings import ALL, Finding
from orchestrator.db.peers import PeerPost
from orchestrator.jobs.tools import Tools
from orchestrator.learning import cached, features
from orchestrator.learning.bandit import HOUR
from orchestrator.learning.findings import LENGTH, MIN_POSTS, OPENING, differences, statement
from orchestrator.learning.peers import MIN_OF_AN_AUTHOR, ranks, standing, tallied
from orchestrator.model import Outcome, PostMetrics, done, nothing_to_do

NAME = "competitive_analysis"
MAX_POSTS = 5000
"""Of peers, and of ours, on one site."""
PEERS = "peers"
"""How the kinds of these findings begin: `plan` heeds none of them, since another audience made them."""
KINDS = (PEERS, *(f"{PEERS}: {kind}" for kind in (OPENING, LENGTH, HOUR)))


def job(tools: Tools) -> Job:
    async def work(run: Run) -> Outcome:
        return await analyse(run, tools)

    return Job(NAME, work, priority=8, every_s=43_200, after=("scrape_priority",))


async def analyse(run: Run, tools: Tools) -> Outcome:
    """Compare site by site."""
    seen, holding, new = 0, 0, 0
    for site in sorted({account.settings.site for account in tools.accounts.values()}):
        since = tools.clock.now() - timedelta(days=tools.settings.analysis.window_days)
        names = [account.name for account in tools.accounts.values() if account.settings.site == site]
        theirs = await tools.database.run(peers.recent, site, since, MAX_POSTS)
        ours = await tools.database.run(peers.ours, names, since.date(), MAX_POSTS)
        found = [*_what_works(theirs, site), *_how_we_stand(ours, theirs, site)]
        fence, now = tools.fence.number, tools.clock.now()
        looks = await tools.database.run(findings.replace, site, [ALL], KINDS, found, fence, now)
        await cached.forget_findings(tools.cache)
        seen, holding, new = seen + len(theirs), holding + looks.new + looks.kept, new + looks.new
        run.log.info("peers_compared", site=site, peers=len(theirs), ours=len(ours), findings=len(found))
    if not seen:
        return nothing_to_do("no post of a peer has been seen")
    return done(
        f"{holding} findings hold of {seen} posts of peers, {new} of them new", findings=holding, new=new
    )


def _what_works(theirs: list[PeerPost], site: str) -> list[Finding]:
    """What goes with a high rank among the posts of the same author."""
    by_author: dict[str, list[PeerPost]] = {}
    for post in theirs:
        by_author.setdefault(post.author, []).append(post)
    scored = [
        (_made_of(post), score)
        for posts in by_author.values()
        if len(posts) >= MIN_OF_AN_AUTHOR
        for post, score in zip(posts, ranks([_reactions(post) for post in posts]), strict=True)
    ]
    return [
        Finding(
            f"{PEERS}: {one.kind}", site, ALL, one.subject, statement(one, "peers’ "),
            one.effect, one.low, one.high, one.posts,
        )
        for one in differences(tallied(scored))
    ]  # fmt: skip


def _made_of(post: PeerPost) -> dict[str, str]:
    made_of = {OPENING: features.opening(post.text), LENGTH: features.length(post.text)}
    if post.posted_at is not None:
        made_of[HOUR] = features.band(post.posted_at.hour)
    return made_of


def _how_we_stand(ours: list[PostMetrics], theirs: list[PeerPost], site: str) -> list[Finding]:
    if min(len(ours), len(theirs)) < MIN_POSTS:
        return []
    our_figures, their_figures = [_reactions(one) for one in ours], [_reactions(one) for one in theirs]
    found = standing(our_figures, their_figures)

    def share(effect: float) -> str:
        return f"{min(100.0, max(0.0, 50 + effect * 100)):.0f}"

    chance = "" if found.is_sure else "; that may be chance"
    text = (
        f"One of our posts has more reactions than one of a peer’s in {share(found.effect)} of 100 pairs "
        f"({share(found.low)} to {share(found.high)} at 95 %{chance}): {median(our_figures):g} against "
        f"{median(their_figures):g} at the median, {len(ours)} posts against {len(theirs)}."
    )
    return [Finding(PEERS, site, ALL, "reactions", text, found.effect, found.low, found.high, len(ours))]


def _reactions(post: PeerPost | PostMetrics) -> int:
    return post.likes + 2 * post.replies
