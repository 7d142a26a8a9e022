"""What of the past is kept, and for how long."""

from pydantic import Field

from orchestrator.settings.base import Section


class RetentionSettings(Section):
    """When old rows go into the archive, and how large that may become; see `docs/database.md`."""

    runs_days: int = Field(
        7, ge=1, le=3650, description="records of runs that were done, or had nothing to do"
    )
    failed_days: int = Field(
        30, ge=1, le=3650, description="those that failed, failed posts, cleared alerts, closed opportunities"
    )
    readings_days: int = Field(
        7, ge=2, le=3650, description="all readings of posts' figures; then one a day, later one a week"
    )
    peers_days: int = Field(90, ge=1, le=3650, description="posts of peers, since they were seen last")
    sums_days: int = Field(
        400, ge=400, le=3650, description="what analyses read, the counters of days, and what was spent"
    )
    archive_max_mb: int = Field(
        1000, ge=1, description="the archive, in 10^6 bytes; its oldest files are deleted when it is larger"
    )
