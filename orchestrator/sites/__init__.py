"""Sites, driven by their profiles: what to open, fill, press and read stands in TOML, not in code."""

from orchestrator.sites.driver import AccountFigures
from orchestrator.sites.profile import Profile, load_profile
from orchestrator.sites.session import SiteAccount, SiteSession, open_site

__all__ = ["AccountFigures", "Profile", "SiteAccount", "SiteSession", "load_profile", "open_site"]
