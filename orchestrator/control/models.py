"""What may be asked of the predictor's versions on the control socket."""

from typing import Any

from orchestrator.db import models, notes
from orchestrator.db.models import Version
from orchestrator.errors import NotReadyError
from orchestrator.health.problems import iso
from orchestrator.health.status import House
from orchestrator.jobs import learn
from orchestrator.jobs.training import MISSING

LIMIT = 50
"""Versions that are told, the newest first."""

Args = dict[str, Any]


async def told(house: House) -> Args:
    """The versions of all sites, and what each lacks for its next. Raises NotReadyError and DatabaseError."""
    if house.database is None or house.supervisor is None:
        raise NotReadyError("the daemon is still starting", remedy="See: orchestrator ctl status")
    sites = sorted(set(house.site_of.values()))
    found = await house.database.run(models.recent, sites, LIMIT)
    missing = {site: await house.database.run(notes.recall, learn.NAME, MISSING + site) for site in sites}
    return {
        "models": [_version(one) for one in found],
        "missing": {site: reason for site, reason in missing.items() if reason is not None},
        "now": iso(house.clock.now()),
    }


def _version(one: Version) -> Args:
    return {
        "version": one.version,
        "site": one.scope,
        "kind": one.kind,
        "state": one.state.value,
        "since": iso(one.state_since),
        "why": one.why,
        "trained_at": iso(one.trained_at),
        "from": iso(one.from_at),
        "to": iso(one.to_at),
        "posts": one.posts,
        "error": one.error,
        "mean_error": one.mean_error,
        "predecessor": one.predecessor,
        "parameters": one.parameters,
    }
