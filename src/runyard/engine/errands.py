"""Doing what other servers ask for, with the runs that workers of this server hold.

Whatever is asked twice is done once: an errand under way is remembered, and one that was done is
answered in its row. A run that is not held here under the token that was asked for has ended or gone
elsewhere: then there is nothing to do, and the asker sees in the run's row what became of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from runyard.engine.calls import Calls
from runyard.engine.calls_elsewhere import encode_ended
from runyard.engine.colleagues import inspected
from runyard.engine.foundation import Foundation
from runyard.engine.news import Topic
from runyard.engine.runs import Runs
from runyard.engine.steering import KillReport, Steering
from runyard.model.ids import RunId, TaskId
from runyard.stores.contract.peering import Answer, Errand, Peering, Verb
from runyard.telemetry import MAINTENANCE_FAILED, emit

FENCE_EVERY = timedelta(seconds=1)

Doing = Callable[[Sequence[Errand]], Awaitable[dict[RunId, Answer]]]
Finding = Callable[[Errand], Awaitable[tuple[Answer, bytes | None]]]


class Errands:
    """Answers other servers."""

    def __init__(
        self, foundation: Foundation, steering: Steering, runs: Runs, calls: Calls
    ) -> None:
        self._peering = foundation.store.peering
        self._peers = foundation.peers
        self._clock = foundation.clock
        self._sessions = foundation.sessions
        self._store = foundation.store
        self._directory = foundation.directory
        self._steering = steering
        self._runs = runs
        self._calls = calls
        self._under_way: set[int] = set()
        self._wakeup = asyncio.Event()
        self._doings: dict[Verb, Doing] = {
            Verb.KILL: self._kill,
            Verb.KILL_BEGUN: self._kill_begun,
            Verb.DROP: self._drop,
            Verb.PARK: self._park,
        }
        self._finders: dict[Verb, Finding] = {
            Verb.INSPECT: self._inspect,
            Verb.CLOSE: self._close,
            Verb.END_CALLS: self._end_calls,
        }

    def notice(self) -> None:
        """Something may have been asked, or a gate may have been closed."""
        self._wakeup.set()

    async def run(self) -> None:
        """Do what is asked until cancelled."""
        if self._peering is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fence_forever())
            while True:
                await self._wakeup.wait()
                self._wakeup.clear()
                group.create_task(self._supervised("give back", self._give_back))
                for verb, errands in (await self._new(self._peering)).items():
                    group.create_task(self._supervised("errand", self._does(verb, errands)))

    async def _fence_forever(self) -> None:
        while True:
            await self._clock.wait(asyncio.Event(), FENCE_EVERY)
            await self._supervised("fence", self._steering.fence)

    async def _give_back(self) -> None:
        """What was claimed here before another server closed its gate."""
        if await self._steering.hold_back_closed():
            self._peers.say(Topic.ERRANDS)

    async def _new(self, peering: Peering) -> dict[Verb, list[Errand]]:
        sessions = [session.id for session in self._sessions]
        found: dict[Verb, list[Errand]] = {}
        try:
            asked = await peering.asked(sessions) if sessions else []
        except Exception as error:  # noqa: BLE001 - the next look asks again
            emit(MAINTENANCE_FAILED, duty="errands", detail=f"{type(error).__name__}: {error}")
            return {}
        for errand in asked:
            if errand.id not in self._under_way:
                self._under_way.add(errand.id)
                found.setdefault(errand.verb, []).append(errand)
        return found

    def _does(self, verb: Verb, errands: Sequence[Errand]) -> Callable[[], Awaitable[None]]:
        async def done() -> None:
            try:
                if (finder := self._finders.get(verb)) is not None:
                    answers = [(errand.id, *await finder(errand)) for errand in errands]
                else:
                    became = await self._doings[verb](errands)
                    answers = [(e.id, became.get(e.run_id, Answer.LEFT), None) for e in errands]
                assert self._peering is not None
                await self._peering.answer(answers)
                self._peers.say(Topic.ERRANDS)
            finally:
                self._under_way.difference_update(errand.id for errand in errands)

        return done

    async def _supervised(self, duty: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whoever asked asks again, or waits for the lease
            emit(MAINTENANCE_FAILED, duty=duty, detail=f"{type(error).__name__}: {error}")

    # ------------------------------------------------------------ the verbs

    async def _inspect(self, errand: Errand) -> tuple[Answer, bytes | None]:
        company = await self._directory.company_by_id(errand.company_id)
        return await inspected(self._sessions, company, errand)

    async def _close(self, errand: Errand) -> tuple[Answer, bytes | None]:
        del errand  # one look shows all gates
        await self._directory.refresh_gates()
        self._directory.reload()
        return Answer.DONE, None

    async def _end_calls(self, errand: Errand) -> tuple[Answer, bytes | None]:
        ended = await self._calls.kill(errand.company_id, TaskId(int(errand.body)))
        return Answer.DONE, encode_ended(ended)

    async def _kill(self, errands: Sequence[Errand]) -> dict[RunId, Answer]:
        return _reported(await self._steering.kill_held(_tokens(errands)))

    async def _kill_begun(self, errands: Sequence[Errand]) -> dict[RunId, Answer]:
        return _reported(await self._steering.kill_held(_tokens(errands), only_begun=True))

    async def _drop(self, errands: Sequence[Errand]) -> dict[RunId, Answer]:
        return dict.fromkeys(await self._steering.drop_held(_tokens(errands)), Answer.DONE)

    async def _park(self, errands: Sequence[Errand]) -> dict[RunId, Answer]:
        became = {}
        for errand in errands:
            run = await self._store.runs.find(errand.company_id, errand.run_id)
            if run is not None and run.lease_token == errand.token:
                parked = await self._runs.parked_from_worker(run)
                became[errand.run_id] = Answer.LEFT if parked is None else Answer.DONE
        return became


def _tokens(errands: Sequence[Errand]) -> dict[RunId, int]:
    return {errand.run_id: errand.token for errand in errands}


def _reported(report: KillReport) -> dict[RunId, Answer]:
    return {
        **dict.fromkeys(report.unconfirmed, Answer.UNCONFIRMED),
        **dict.fromkeys(report.killed, Answer.DONE),
    }
