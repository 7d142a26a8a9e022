"""Which of several texts is posted: the one that a model predicts to do best, and which model says so."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from orchestrator.content.gates import Refusal
from orchestrator.content.generator import Written
from orchestrator.content.writer import Stock
from orchestrator.db.models import Prediction, State
from orchestrator.jobs.tools import Tools
from orchestrator.learning import cached
from orchestrator.learning.predictor import from_json, predict
from orchestrator.learning.ridge import Linear
from orchestrator.model import Arms, fingerprint
from orchestrator.settings.predictor import PredictorSettings


@dataclass(frozen=True, slots=True)
class Chooser:
    """The models of one site that are in use."""

    settings: PredictorSettings
    models: dict[int, Linear]
    candidate: int | None = None
    serving: int | None = None

    @property
    def texts(self) -> int:
        """So many are written to be chosen from."""
        return self.settings.texts if self.models else 1

    def choose(self, written: Sequence[Written], hour: int, rng: Random) -> tuple[Written, int | None]:
        """The best of some texts, and the version that said so; None: none was asked.

        A share of the texts is the candidate's to choose, by a hash, so that both models are tried on like
        texts; and a share is nobody's, so that what a model thinks little of is seen as well.
        """
        version = self._whose(written[0].text)
        if version is None or len(written) == 1 or rng.random() < self.settings.explore:
            return written[0], None
        linear = self.models[version]
        best = max(written, key=lambda one: predict(linear, one.text, Arms(one.topic, one.format, hour)))
        return best, version

    def _whose(self, text: str) -> int | None:
        if self.candidate is None:
            return self.serving
        digest = sha256(f"{self.candidate}/{fingerprint(text)}".encode()).digest()
        part = int.from_bytes(digest[:8]) / 2**64
        return self.candidate if part < self.settings.candidate_share else self.serving

    def say(self, text: str, arms: Arms, by: int | None) -> list[Prediction]:
        """What each model in use expects of a text that `by` chose."""
        return [
            (version, predict(linear, text, arms), version == by) for version, linear in self.models.items()
        ]


async def open_chooser(tools: Tools, site: str) -> Chooser:
    """What is in use at this moment. Raises DatabaseError."""
    found = await cached.models_in_use(tools.cache, tools.database, site)
    by_state = {version.state: version.version for version in found}
    linears = {version.version: from_json(version.parameters) for version in found}
    candidate, serving = by_state.get(State.CANDIDATE), by_state.get(State.SERVING)
    return Chooser(tools.settings.predictor, linears, candidate, serving)


def write_several(  # noqa: PLR0913 - what one text takes, and how many
    stock: Stock,
    wish: Arms,
    rng: Random,
    *,
    count: int,
    recent_texts: Sequence[str],
    used: Collection[str],
    site_max_chars: int | None,
) -> tuple[list[Written], list[Refusal]]:
    """Up to `count` texts of one topic and format; when there is none, why. Call it in a thread."""
    found: list[Written] = []
    taken = set(used)
    while len(found) < count:
        one = stock.write(wish, rng, recent_texts=recent_texts, used=taken, site_max_chars=site_max_chars)
        if not isinstance(one, Written):
            return found, one
        if found and (one.topic, one.format) != (found[0].topic, found[0].format):
            break
        found.append(one)
        taken.add(fingerprint(one.text))
    return found, []
