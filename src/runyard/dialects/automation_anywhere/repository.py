"""Tasks as files of the public repository, and what each takes and returns."""

from zlib import crc32

from runyard.dialects.automation_anywhere import rows, shapes
from runyard.dialects.automation_anywhere.activity import stamp
from runyard.dialects.automation_anywhere.filters import Column, answered, selected
from runyard.dialects.automation_anywhere.tasks import ROOT, name_of, path_of, task_of
from runyard.dialects.automation_anywhere.values import name_of as type_name
from runyard.model.errors import NotFound
from runyard.model.tasks import Task
from runyard.model.tokens import Permission
from runyard.model.types import Field
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route

TAG = "Repository"
API_TASK = "application/vnd.aa.headlessbot"
FOLDER = "application/vnd.aa.directory"
BOTS = f"{ROOT}\\Bots"
BOTS_ID = "2"
"""Of the folder in which tasks stand unless they say otherwise."""
_FOLDERS_FROM = 10**15
"""Ids of folders, which are made of their paths; no task ever has one so high."""

COLUMNS = {
    **{name: Column("number") for name in ("id", "parentId", "size", "version")},
    **{
        name: Column("text")
        for name in ("name", "path", "type", "workspaceType", "botStatus", "description", "uuid")
    },
    **{name: Column("boolean") for name in ("folder", "directory", "locked")},
    "fileName": Column("text", "name"),
    "lastModified": Column("instant"),
}


async def list_workspace_files(request: Request) -> Response:
    """List the tasks of a workspace. What is deployed is public: the private one is empty."""
    workspace = request.params["workspace"]
    if workspace not in {"public", "private"}:
        raise NotFound(f"there is no workspace {workspace!r}; there are public and private")
    wanted = await request.json_or(shapes.ListRequest())
    found = await _files(request) if workspace == "public" else []
    return answered(selected(found, wanted, COLUMNS))


async def list_files(request: Request) -> Response:
    """List the tasks of the repository."""
    wanted = await request.json_or(shapes.ListRequest())
    return answered(selected(await _files(request), wanted, COLUMNS))


async def list_folder(request: Request) -> Response:
    """List the tasks and folders inside a folder; 2 is the folder Bots."""
    wanted = await request.json_or(shapes.ListRequest())
    files = await _files(request)
    folders = _folders(files)
    folder = request.params["folder"]
    if folder not in {BOTS_ID, folder_id(ROOT), *(each.id for each in folders)}:
        raise NotFound(f"there is no folder {folder}")
    inside = [item for item in (*folders, *files) if item.parent_id == folder]
    return answered(selected(inside, wanted, COLUMNS))


async def show_file(request: Request) -> rows.RepositoryItem:
    """Show a task as a file."""
    return _item(await task_of(request.engine, request.company, "id", request.params["fileId"]))


async def show_content(request: Request) -> rows.Content:
    """Show what a task does: the statements of its function, and what they call, line by line."""
    engine = request.engine
    task = await task_of(engine, request.company, "id", request.params["fileId"])
    version = await engine.directory.version(task.version_id)
    commands = await engine.code.commands(version)
    return rows.Content(
        commands=tuple(rows.Command(command=each.name, line=each.line) for each in commands)
    )


async def show_interface(request: Request) -> rows.Interface:
    """Show the input and output variables of a task."""
    engine = request.engine
    task = await task_of(engine, request.company, "id", request.params["fileId"])
    declaration = (await engine.directory.version(task.version_id)).declaration
    outputs = {field.name: field for field in declaration.outputs}
    inputs = {field.name: field for field in declaration.inputs}
    return rows.Interface(
        variables=tuple(
            _variable(field, is_input=field.name in inputs, is_output=field.name in outputs)
            for field in {**outputs, **inputs}.values()
        )
    )


def folder_id(path: str) -> str:
    """The id of a folder."""
    return BOTS_ID if path == BOTS else str(_FOLDERS_FROM + crc32(path.encode()))


async def _files(request: Request) -> list[rows.RepositoryItem]:
    return [_item(task) for task in await request.engine.tasks.list(request.company)]


def _item(task: Task) -> rows.RepositoryItem:
    path = path_of(task)
    return rows.RepositoryItem(
        id=str(task.id),
        parent_id=folder_id(path.rpartition("\\")[0]),
        name=name_of(task),
        path=path,
        type=API_TASK,
        folder=False,
        directory=False,
        size="0",
        version=str(task.version),
        workspace_type="PUBLIC",
        bot_status="PUBLIC",
        locked=False,
        locked_by="0",
        last_modified=stamp(task.created_at),
        last_modified_by="0",
        created_by="0",
        description=task.description,
        tags=(),
        permission=_MAY,
        has_errors=False,
        is_edited=False,
        uuid=str(task.uuid),
    )


_MAY = {"delete": False, "download": False, "upload": False, "run": True, "view": True}


def _folders(files: list[rows.RepositoryItem]) -> list[rows.RepositoryItem]:
    """Every folder in which a task stands, or another folder."""
    paths = {BOTS}
    for item in files:
        path = item.path.rpartition("\\")[0]
        while path and path != ROOT:
            paths.add(path)
            path = path.rpartition("\\")[0]
    return [_folder(path) for path in sorted(paths)]


def _folder(path: str) -> rows.RepositoryItem:
    above, _, name = path.rpartition("\\")
    return rows.RepositoryItem(
        id=folder_id(path),
        parent_id=folder_id(above),
        name=name,
        path=path,
        type=FOLDER,
        folder=True,
        directory=True,
        size="0",
        version="0",
        workspace_type="PUBLIC",
        bot_status="PUBLIC",
        locked=False,
        locked_by="0",
        last_modified="",
        last_modified_by="0",
        created_by="0",
        description="",
        tags=(),
        permission=_MAY,
        has_errors=False,
        is_edited=False,
        uuid="",
    )


def _variable(field: Field, *, is_input: bool, is_output: bool) -> rows.Variable:
    kind = type_name(field.type)
    default = None
    if field.default not in {None, "null"}:
        text = str(field.default)
        plain = text[1:-1] if text.startswith('"') else text
        default = rows.DefaultValue(
            type=kind,
            string=plain if kind not in {"NUMBER", "BOOLEAN"} else "",
            number=plain if kind == "NUMBER" else "",
            boolean=plain if kind == "BOOLEAN" else "",
        )
    return rows.Variable(
        name=field.name,
        input=is_input,
        output=is_output,
        type=kind,
        description=field.help or field.title,
        default_value=default,
    )


def _listing(path: str, operation: str, title: str, endpoint: object) -> Route:
    return Route(
        method="POST",
        path=path,
        operation=operation,
        title=title,
        permission=Permission.READ,
        endpoint=endpoint,  # type: ignore[arg-type]
        tag=TAG,
        body=shapes.ListRequest,
        is_body_optional=True,
        answer=rows.RepositoryList,
    )


ROUTES = (
    _listing(
        "/v2/repository/workspaces/{workspace}/files/list",
        "listWorkspaceFiles",
        "List files of a workspace",
        list_workspace_files,
    ),
    _listing("/v2/repository/file/list", "listFiles", "List files", list_files),
    _listing("/v2/repository/folders/{folder}/list", "listFolder", "List a folder", list_folder),
    Route(
        method="GET",
        path="/v2/repository/files/{fileId}",
        operation="showFile",
        title="Show a file",
        permission=Permission.READ,
        endpoint=show_file,
        tag=TAG,
        answer=rows.RepositoryItem,
    ),
    Route(
        method="GET",
        path="/v2/repository/files/{fileId}/content",
        operation="showFileContent",
        title="Show a file's content",
        permission=Permission.READ,
        endpoint=show_content,
        tag=TAG,
        answer=rows.Content,
    ),
    Route(
        method="GET",
        path="/v1/filecontent/{fileId}/interface",
        operation="showInterface",
        title="Show a task's variables",
        permission=Permission.READ,
        endpoint=show_interface,
        tag=TAG,
        answer=rows.Interface,
    ),
)
