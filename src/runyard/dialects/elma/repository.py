"""The repository: files that tasks have returned, and the processes with their versions."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import UNSET, UnsetType

from runyard.dialects.elma import shapes
from runyard.dialects.elma.admission import admitted
from runyard.dialects.elma.files import files_of, names_of
from runyard.dialects.elma.names import user_uuid, version_uuid
from runyard.dialects.elma.options import Options
from runyard.dialects.elma.tasks import Tasks, groups_of, task_by_token
from runyard.dialects.elma.wire import OVER, NotOverYet, stamp
from runyard.engine.engine import Engine
from runyard.model.companies import Company
from runyard.model.errors import FileNotFound
from runyard.model.tasks import Task, Version
from runyard.model.tokens import Permission
from runyard.web.asgi import Receive, Scope, Send
from runyard.web.downloads import download
from runyard.web.house import House
from runyard.web.responses import ENCODER, send_bytes
from runyard.web.routing import Route

TAG = "repository"
CONTENT = "application/octet-stream"
MOST_HASHES = 10_000

Versioned = tuple[Task, Version]
T = TypeVar("T")


class Repository:
    """Operations on files and processes."""

    def __init__(self, options: Options, tasks: Tasks) -> None:
        self._options = options
        self._tasks = tasks
        self._hashes: dict[str, str] = {}
        """SHA-1 of bundles, by their digest."""

    # ------------------------------------------------------------ files

    async def download_file(
        self,
        house: House,
        params: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """The content of a file that a finished task has in its output context, or with `Range` a part
        of it. Files of one name are `name.ext`, `name (2).ext` and so on.
        """
        engine = house.engine
        visit = await admitted(house, scope, receive, shapes.FileOfTask)
        run = await self._tasks.readable(engine, visit, visit.asked.taskid)
        if not run.is_final:
            raise NotOverYet(f"task {run.id} is not over yet, so it has no files")
        values = await engine.runs.values(visit.company, run.id)
        files = await files_of(engine, visit.company, run.id, values.output)
        names = names_of(files)
        wanted = visit.asked.filename
        file = next((file for file in files if names[file.id] == wanted), None)
        if file is None:
            raise FileNotFound(f"task {run.id} has no file {wanted[:200]!r}")
        part = dict(scope["headers"]).get(b"range")
        answer = download(engine.files, file, part, name=wanted, media=CONTENT)
        await answer.send(receive, send)

    # ------------------------------------------------------------ processes

    async def list_actual(
        self,
        house: House,
        params: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """The current version of every process, by name."""
        engine = house.engine
        visit = await admitted(house, scope, receive, shapes.Part)
        tasks = await engine.tasks.list(visit.company)
        part = _part_of(tasks, visit.asked)
        found = [(task, await engine.directory.version(task.version_id)) for task in part]
        await self._answer(engine, send, visit.company, len(tasks), found)

    async def list_history(
        self,
        house: House,
        params: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """All versions of one process, newest first."""
        engine = house.engine
        visit = await admitted(house, scope, receive, shapes.PartOfHistory)
        task = await task_by_token(engine, visit.company, "token", visit.asked.token)
        versions = await engine.tasks.versions(visit.company, task)
        found = [(task, version) for version in _part_of(versions, visit.asked)]
        await self._answer(engine, send, visit.company, len(versions), found)

    async def _answer(
        self,
        engine: Engine,
        send: Send,
        company: Company,
        total: int,
        found: Sequence[Versioned],
    ) -> None:
        shown = tuple([await self._process(engine, company, *versioned) for versioned in found])
        body = ENCODER.encode(shapes.ProcessList(status=OVER, total=total, process=shown))
        await send_bytes(send, OVER, body)

    async def _process(
        self, engine: Engine, company: Company, task: Task, version: Version
    ) -> shapes.Process:
        by = version.deployed_by
        return shapes.Process(
            uuid=version_uuid(task, version.number),
            token=str(task.uuid),
            version=version.number,
            active=task.runnable and task.withdrawn_at is None,
            name=version.declaration.name,
            hash=await self._hash(engine, version.bundle_digest),
            created=stamp(task.created_at),
            uploaded=stamp(version.created_at),
            useruuid=UNSET if by is None else user_uuid(company, by),
            fullname=await engine.actors.name(by) or UNSET,
            groups=groups_of(company, version) or UNSET,
        )

    async def _hash(self, engine: Engine, digest: str) -> str | UnsetType:
        """SHA-1 of a bundle, reckoned once."""
        known = self._hashes.get(digest)
        if known is None:
            if await engine.files.blob_size(digest) is None:
                return UNSET
            sha1 = hashlib.sha1(usedforsecurity=False)
            async for part in engine.files.blob(digest):
                sha1.update(part)
            if len(self._hashes) >= MOST_HASHES:
                self._hashes.clear()
            known = self._hashes[digest] = sha1.hexdigest()
        return known

    # ------------------------------------------------------------ routes

    def routes(self) -> tuple[Route, ...]:
        """Where they stand."""
        return (
            Route(
                method="POST",
                path="/repository/task/download",
                operation="downloadFile",
                title="Get a file from the output context",
                permission=Permission.READ,
                hot=self.download_file,
                tag=TAG,
                body=shapes.FileOfTask,
                answer_media=CONTENT,
                statuses=(206,),
                headers={"Range": "A part of the file, such as bytes=0-99."},
                refusals=(404, 416),
            ),
            Route(
                method="POST",
                path="/repository/actual",
                operation="listActual",
                title="Current versions",
                permission=Permission.READ,
                hot=self.list_actual,
                tag=TAG,
                body=shapes.Part,
                answer=shapes.ProcessList,
            ),
            Route(
                method="POST",
                path="/repository/history",
                operation="listHistory",
                title="All versions of a process",
                permission=Permission.READ,
                hot=self.list_history,
                tag=TAG,
                body=shapes.PartOfHistory,
                answer=shapes.ProcessList,
                refusals=(404,),
            ),
        )


def _part_of(found: Sequence[T], wanted: shapes.Part) -> Sequence[T]:
    """A page; with limit 0 there is one page with everything."""
    page, limit = wanted.page or 0, wanted.limit or 0
    if not limit:
        return () if page else found
    return found[page * limit : (page + 1) * limit]
