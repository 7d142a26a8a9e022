"""What a person may order over the API: the control verbs, under addresses."""

from orchestrator.web.v1.documents import Done, Drafted
from orchestrator.web.v1.endpoint import Asked
from orchestrator.web.v1.reading import Ask


class Acting:
    """The handlers of everything that changes something; each asks one verb."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def pause(self, asked: Asked) -> Done:
        return Done(**await self._ask("pause", {"job": asked.path.job}))

    async def pause_all(self, _asked: Asked) -> Done:
        return Done(**await self._ask("pause", {}))

    async def resume(self, asked: Asked) -> Done:
        return Done(**await self._ask("resume", {"job": asked.path.job}))

    async def resume_all(self, _asked: Asked) -> Done:
        return Done(**await self._ask("resume", {}))

    async def run(self, asked: Asked) -> Done:
        return Done(**await self._ask("run", {"job": asked.path.job}))

    async def draft(self, asked: Asked) -> Drafted:
        return Drafted(**await self._ask("draft", asked.body.model_dump()))

    async def change(self, asked: Asked) -> Done:
        change = asked.body.model_dump(mode="json", exclude_none=True)
        return Done(**await self._ask("edit", {"post": asked.path.draft, **change}))

    async def approve(self, asked: Asked) -> Done:
        return Done(**await self._ask("approve", {"post": asked.path.draft}))

    async def reject(self, asked: Asked) -> Done:
        return Done(**await self._ask("reject", {"post": asked.path.draft}))

    async def resolve(self, asked: Asked) -> Done:
        decision = asked.body.model_dump(exclude_none=True)
        return Done(**await self._ask("resolve", {"post": asked.path.post, **decision}))
