"""What becomes of news from other servers.

What concerns runs is acted upon in the turn of the loop in which it arrives: a dispatcher that is told
of waiting runs claims at once, and whoever waits for a run is woken. What needs a look at the
database is gathered and looked at by one loop, so that a burst of news costs one look.
"""

import asyncio
from collections.abc import Callable

from runyard.engine.clock import Clock
from runyard.engine.errands import Errands
from runyard.engine.foundation import Foundation
from runyard.engine.logins import Logins
from runyard.engine.maintenance import Maintenance
from runyard.engine.news import LoggedLines, News, Progress, Topic
from runyard.engine.tokens import Tokens
from runyard.model.errors import RunyardError
from runyard.model.ids import CompanyId, RunId
from runyard.telemetry import MAINTENANCE_FAILED, emit


class Hearing:
    """Acts upon what other servers tell."""

    def __init__(
        self,
        foundation: Foundation,
        maintenance: Maintenance,
        tokens: Tokens,
        logins: Logins,
        errands: Errands,
        notice_workers: Callable[[], None],
    ) -> None:
        self._clock: Clock = foundation.clock
        self._dispatcher = foundation.dispatcher
        self._directory = foundation.directory
        self._watch = foundation.watch
        self._elsewhere = foundation.elsewhere
        self._errands = errands
        self._maintenance = maintenance
        self._tokens = tokens
        self._logins = logins
        self._notice_workers = notice_workers
        self.on_directory: Callable[[], None] = _nothing
        """Called when companies, tasks or allocations have changed elsewhere."""
        self._wakeup = asyncio.Event()
        self._topics = Topic(0)
        self._changed: dict[RunId, CompanyId] = {}
        self._logged: list[LoggedLines] = []
        self._progress: list[Progress] = []

    def hear(self, news: News) -> None:
        """Something was told."""
        if news.gates:
            self._dispatcher.hear(news.gates)
        if news.ended:
            self._watch.heard_ended(news.ended)
        if news.topics:
            self._hear_of(Topic(news.topics))
        self._keep_for_followers(news)
        if self._topics or self._changed or self._logged or self._progress:
            self._wakeup.set()

    def _hear_of(self, topics: Topic) -> None:
        if topics & Topic.TOKENS:
            self._tokens.forget()
            self._logins.forget()
        if topics & (Topic.TOKENS | Topic.WORKERS | Topic.ALL):
            self._notice_workers()
        if topics & (Topic.ERRANDS | Topic.ALL):
            self._elsewhere.hear()
            self._errands.notice()
        self._topics |= topics & (Topic.DIRECTORY | Topic.ALL)

    def _keep_for_followers(self, news: News) -> None:
        for company, runs in news.changed:
            if self._watch.is_followed_here(company):
                self._changed.update(dict.fromkeys(runs, company))
        for lines in news.logged:
            if self._watch.is_followed_here(lines.company_id):
                self._logged.append(lines)
        self._progress.extend(news.progress)

    def missed(self) -> None:
        """News may have been lost: look at everything."""
        self._tokens.forget()
        self._logins.forget()
        self._watch.missed()
        self._notice_workers()
        self._topics |= Topic.ALL
        self._wakeup.set()

    async def run(self) -> None:
        """Look at what was told of until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            try:
                await self._look()
            except (
                RunyardError
            ) as problem:  # the database is away: the next look of everybody's comes
                emit(MAINTENANCE_FAILED, duty="news", detail=problem.detail)

    async def _look(self) -> None:
        topics, self._topics = self._topics, Topic(0)
        if topics & (Topic.DIRECTORY | Topic.ALL):
            await self._maintenance.look_at_gates()
            self._errands.notice()
            self.on_directory()
        if topics & Topic.ALL:
            self._watch.heard_of_any()
            self._maintenance.expect()
        changed, self._changed = self._changed, {}
        logged, self._logged = self._logged, []
        progress, self._progress = self._progress, []
        for company in set(changed.values()):
            await self._watch.show(company, [r for r, of in changed.items() if of == company])
        for lines in logged:
            await self._watch.show_lines(lines.company_id, lines.run_id, lines.first, lines.last)
        for said in progress:
            self._watch.show_progress(said.company_id, said.run_id, said.done, said.total)


def _nothing() -> None:
    """Before anybody cares."""
