"""An account that comes alone, while the daemon runs; checked as those of the settings are."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import SettingsError
from orchestrator.settings import AccountSettings, Settings, time_zone_problem
from orchestrator.settings.sources import Layer
from orchestrator.settings.words import Complaints, Schema

OPTIONS = ("time_zone", "posts_per_day", "replies_per_day", "sign_ins_per_day", "visits_per_day")
"""What may be given besides name, site, username and password."""


def check_account(given: Mapping[str, Any], settings: Settings) -> AccountSettings:
    """The account of these values. Raises SettingsError with a line for each thing that is wrong."""
    complaints = Complaints(Schema(AccountSettings), [Layer(given, lambda _: "as given")], given)
    try:
        account = AccountSettings(**given)
    except ValidationError as error:
        # Without its cause: that one shows input, which may be the password.
        raise SettingsError("; ".join(complaints.lines(error))) from None
    wrong = []
    if account.site not in settings.sites:
        known = ", ".join(settings.sites) or "none is set; add a table [sites.NAME]"
        wrong.append(complaints.line(("site",), f"must be one of the sites: {known}"))
    if problem := time_zone_problem(account.time_zone):
        wrong.append(complaints.line(("time_zone",), problem))
    if wrong:
        raise SettingsError("; ".join(wrong))
    return account
