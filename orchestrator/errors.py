"""Every error that crosses a module boundary.

The first line of an error says what is wrong and names the thing; `remedy` says what to do about it.
`failure` says what a job may do about it: try again, give up, or stop because the budget is spent.
"""

import re
from enum import StrEnum
from typing import ClassVar

_QUERY = re.compile(r"""(\w://[^\s?#'"<>]*)[?#][^\s'"<>]*(?<![.,;:)\]])""")


class Failure(StrEnum):
    """What a failure means for the run that met it."""

    TRANSIENT = "transient"
    """Likely to pass by itself: the run is tried again by the job's retry rule."""
    PERMANENT = "permanent"
    """Will not pass by itself: the run is given up."""
    BUDGET = "budget"
    """A limit is reached: the run ends and waits for the next period."""


def without_queries(text: str) -> str:
    """The text, its addresses without query and fragment: sites put tokens and drafts there."""
    return _QUERY.sub(r"\1", text)


class OrchestratorError(Exception):
    """Base of all errors of this program. Addresses in its message lose their queries."""

    failure: ClassVar[Failure] = Failure.PERMANENT
    costs_attempt: bool = True
    """False when the run is not to blame: it is tried again without using up one of its tries."""
    retry_in_s: float | None = None
    """How long the other side asks us to wait, when it says so."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(without_queries(message))
        self.remedy = remedy

    def line(self) -> str:
        """The error and its remedy as one line for a person."""
        return f"{self}. {self.remedy}" if self.remedy else str(self)


class SettingsError(OrchestratorError):
    """A setting is unknown, missing or out of range."""


class StateDirectoryError(OrchestratorError):
    """The state directory can't be used: not writable, or another daemon works in it."""


class MachineError(OrchestratorError):
    """The machine gives us too little: file descriptors, shared memory, the right time."""


class AddressInUseError(OrchestratorError):
    """A port or socket is taken by another program."""


class SiteStartError(OrchestratorError):
    """The bundled site's process did not start."""


class ProfileError(SettingsError):
    """A site profile is missing or broken; the message names file, line and reason."""


# ── database ────────────────────────────────────────────────────────────────────────────────────


class DatabaseError(OrchestratorError):
    """The database answered with an error that is a fault of this program or of its data."""


class DatabaseUnavailableError(DatabaseError):
    """The database can't be reached, or does not take writes now."""

    failure = Failure.TRANSIENT


class DatabaseRefusedError(DatabaseError):
    """The database refuses us for good: wrong password, unknown database, missing rights."""


class DatabaseUnfitError(DatabaseError):
    """This program can't work on the database, which is another program's, or whose server is too old."""


class DatabaseTooNewError(DatabaseUnfitError):
    """The database was migrated by a newer version of this program."""


class MigrationChangedError(DatabaseError):
    """A migration that was applied before has another text now."""


class FenceLostError(DatabaseError):
    """Another daemon has taken over this database; this one must not write any more."""


class DatabaseReplacedError(FenceLostError):
    """The database is another one now, or an older state of itself: what was recorded last is not there."""


class PostStateError(DatabaseError):
    """A post is not in the state that the step needs."""


class PostNotThereError(PostStateError):
    """There is no post with this number."""


# ── cache ───────────────────────────────────────────────────────────────────────────────────────


class CacheError(OrchestratorError):
    """The cache could not do its work; whoever asks it goes on without."""


class CacheUnavailableError(CacheError):
    """The cache's server can't be reached, does not answer in time, or refuses us."""

    failure = Failure.TRANSIENT


class CacheFullError(CacheError):
    """The cache's server has no room for a value."""


class CacheValueError(CacheError):
    """A value is none that its namespace can keep: a fault of the code that computes it."""


# ── browser ─────────────────────────────────────────────────────────────────────────────────────


class BrowserError(OrchestratorError):
    """The browser failed."""

    failure = Failure.TRANSIENT


class BrowserMissingError(BrowserError):
    """No browser that can be used was found on this machine."""


class ContextBrokenError(BrowserError):
    """The context, its renderer, the browser or its driver died during the visit; the slot is broken."""

    costs_attempt = False


class NothingSentError(ContextBrokenError):
    """The browser died over a visit with an effect, and its form was surely kept from the site."""


class HostRefusedError(OrchestratorError):
    """A page outside the site profile's hosts was asked for."""


class SessionKeyError(OrchestratorError):
    """A key can't be used or changed, or does not open what is kept."""


# ── sites ───────────────────────────────────────────────────────────────────────────────────────


class SiteError(OrchestratorError):
    """The site did not do what its profile says."""


class SiteUnavailableError(SiteError):
    """The site did not answer, or answered with a server error."""

    failure = Failure.TRANSIENT


class SiteRateLimitedError(SiteError):
    """The site asks for patience (429). `retry_in_s` is its own figure, or None."""

    failure = Failure.TRANSIENT

    def __init__(self, message: str, *, retry_in_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_in_s = retry_in_s


class PageUnexpectedError(SiteError):
    """The page lacks an element that the profile names: the site is broken or the profile is out of date."""

    failure = Failure.TRANSIENT


class PostNotPressedError(PageUnexpectedError):
    """Submit was not pressed, or nothing of it left the house: nothing was published."""

    def __init__(self, message: str, *, costs_attempt: bool = True) -> None:
        super().__init__(message)
        self.costs_attempt = costs_attempt


class SignedOutError(SiteError):
    """The site wants a sign-in."""

    failure = Failure.TRANSIENT


class SignInRefusedError(SiteError):
    """The site refuses the account's name or password."""


class PostRefusedError(SiteError):
    """The site said no to this post, for good; nothing was published."""


class AlreadyAnsweredError(PostRefusedError):
    """The site shows an answer of the account there: `reference` and `text` are that one's."""

    def __init__(self, message: str, *, reference: str, text: str) -> None:
        super().__init__(message)
        self.reference = reference
        self.text = text


class PostUnclearError(SiteError):
    """Submit was pressed and no clear answer came: the post may or may not be published."""

    failure = Failure.TRANSIENT


class ReplyImpossibleError(OrchestratorError):
    """This text can't answer that post: the site's profile, the reference or the text is not made for it."""


class PostMissingError(SiteError):
    """The post is not on the site any more (404, 410)."""


class PersonMissingError(SiteError):
    """There is no such person on the site any more (404, 410)."""


class RobotsForbidError(SiteError):
    """The site's robots.txt disallows an address, which was not read."""


class AccountNotUsableError(OrchestratorError):
    """The account is not visited now: it is spared for its health, switched off, or on its way out."""

    failure = Failure.BUDGET


class AccountOrderError(OrchestratorError):
    """What a person orders of an account can't be done: it is not there, there already, or the settings'."""


class AccountLimitError(AccountNotUsableError):
    """The account has done as much of something as it may on its day."""


# ── content ─────────────────────────────────────────────────────────────────────────────────────


class ContentError(OrchestratorError):
    """A content file is broken; the message names file, line and reason."""


class FeedError(OrchestratorError):
    """A feed is none, is not there, or may not be read."""


class FeedUnavailableError(FeedError):
    """A feed's server did not answer in time, or fails."""

    failure = Failure.TRANSIENT


# ── language model ──────────────────────────────────────────────────────────────────────────────


class ModelFailure(StrEnum):
    """What a failure of the language model means (A3.1)."""

    PERMANENT = "permanent"
    """It says no and will go on so: a bad key, a model that it does not have."""
    BUDGET = "budget"
    """Nothing is left to spend with whoever runs it."""
    RATE_LIMIT = "rate_limit"
    """It asks for patience."""
    NETWORK = "network"
    """It can't be reached, or the answer did not come in time."""
    SERVER = "server"
    """It fails by itself, or gives no answer that can be read."""


class LanguageModelError(OrchestratorError):
    """The language model gave no text. `retry_in_s` is the endpoint's own figure, or None."""

    kind: ClassVar[ModelFailure]

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        may_have_cost: bool = False,
        retry_in_s: float | None = None,
    ) -> None:
        """`may_have_cost`: the question may have been answered, and so has to be paid for."""
        super().__init__(message, remedy=remedy)
        self.may_have_cost = may_have_cost
        self.retry_in_s = retry_in_s


class ModelRefusedError(LanguageModelError):
    """The endpoint refuses us for good: a bad key, an unknown model, a question that it does not take."""

    kind = ModelFailure.PERMANENT


class ModelQuotaError(LanguageModelError):
    """Nothing is left to spend with the provider."""

    kind = ModelFailure.BUDGET
    failure = Failure.BUDGET


class ModelRateLimitedError(LanguageModelError):
    """The endpoint asks for patience."""

    kind = ModelFailure.RATE_LIMIT
    failure = Failure.TRANSIENT


class ModelUnreachableError(LanguageModelError):
    """No connection, or no whole answer in time."""

    kind = ModelFailure.NETWORK
    failure = Failure.TRANSIENT


class ModelBrokenError(LanguageModelError):
    """The endpoint fails, or its answer is none that can be used."""

    kind = ModelFailure.SERVER
    failure = Failure.TRANSIENT


class ModelRestsError(OrchestratorError):
    """The language model is not asked for a while, after what it said last; `retry_in_s` says how long."""

    failure = Failure.TRANSIENT
    costs_attempt = False

    def __init__(self, message: str, *, retry_in_s: float, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.retry_in_s = retry_in_s


class BudgetSpentError(OrchestratorError):
    """What may be spent on the language model today does not reach for the call."""

    failure = Failure.BUDGET


# ── allocator, actors, faces ────────────────────────────────────────────────────────────────────


class QueueFullError(OrchestratorError):
    """A lane's queue holds as many requests as it may."""

    failure = Failure.TRANSIENT


class WaitTooLongError(OrchestratorError):
    """A request would wait for its slot, or has waited, longer than it may."""

    failure = Failure.TRANSIENT
    costs_attempt = False


class LeaseEndedError(OrchestratorError):
    """The lease ended under its holder: held too long (expired) or called back (revoked)."""

    failure = Failure.TRANSIENT
    costs_attempt = False


class VisitNotAllowedError(OrchestratorError):
    """A run asked for a context that its job has not declared, or for a second one at a time: a fault of
    the job."""


class BreakerOpenError(OrchestratorError):
    """An outside party failed lately, or an operator said so: it is not asked now.

    `retry_in_s` is the time until its breaker probes, or None while it is forced open.
    """

    failure = Failure.TRANSIENT
    costs_attempt = False

    def __init__(self, breaker: str, retry_in_s: float | None, last_error: str) -> None:
        if retry_in_s is None:
            when = ", by order of an operator"
        else:
            when = f" for {retry_in_s:.3g} s" if retry_in_s else " while it is being probed"
        latest = f"; its latest failure: {last_error}" if last_error else ""
        super().__init__(f"{breaker} is not asked{when}{latest}")
        self.breaker = breaker
        self.retry_in_s = retry_in_s
        self.last_error = last_error


class PartyUnavailableError(OrchestratorError):
    """An outside party is left alone for now: what a health check says of its breaker."""

    failure = Failure.TRANSIENT


class AlertNotDeliveredError(OrchestratorError):
    """A destination of alerts did not take a message. Its address, a secret, is not in the text."""

    failure = Failure.TRANSIENT


class ServiceError(OrchestratorError):
    """The service can't be installed or removed here."""


class GraphError(SettingsError):
    """The jobs' dependencies have a cycle or name a job that is not there."""


class ControlError(OrchestratorError):
    """A request on the control socket can't be carried out."""


class NotThereError(ControlError):
    """What was asked for by its name or number is not there."""


class NotReadyError(ControlError):
    """It can't be carried out yet, or any more: the daemon is starting or ending."""


class NotKeptError(ControlError):
    """An order holds, but could not be written down: it does not outlive the daemon."""


class RequestError(ControlError):
    """A request makes no sense: something in it is missing, unknown or out of range."""


class NotAllowedError(ControlError):
    """The caller's level does not allow this verb."""


class NoDaemonError(ControlError):
    """Nobody listens on the control socket."""


class BridgeClosedError(OrchestratorError):
    """The asyncio thread is closed or closing."""

    failure = Failure.TRANSIENT
