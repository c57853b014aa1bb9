"""Files: uploaded, listed, downloaded."""

from runyard.dialects.native import wire
from runyard.dialects.native.paging import part_of
from runyard.dialects.native.uploads import FORM, form_file
from runyard.model.errors import FileNotFound
from runyard.model.files import StoredFile
from runyard.model.ids import FileId
from runyard.model.tokens import Permission
from runyard.protocol.shapes import files as file_shapes
from runyard.protocol.shapes import parts
from runyard.web.downloads import download
from runyard.web.errors import MediaTypeRefused
from runyard.web.requests import Request, refuse_announced, refused
from runyard.web.responses import Response
from runyard.web.routing import Route

RAW = "application/octet-stream"
_MOST_LISTED = 10_000


async def upload_file(request: Request) -> file_shapes.File:
    """Upload a file: a form with one file, or the bytes themselves with `name` in the query.

    A run takes it as input by its id.
    """
    request.house.refuse_while_stopping()
    query = request.query(file_shapes.FileQuery)
    limit = request.house.limits.file
    refuse_announced(request.headers, limit)
    if request.media_type == FORM:
        form = await form_file(request, limit)
        name, content_type, parts = query.name or form.name, form.content_type, form.parts()
    elif request.media_type == "":
        raise MediaTypeRefused(f"send {FORM}, or the file's own content type and ?name=")
    elif query.name is None:
        raise refused("name", "nothing", "the file's name, when the body is the file itself")
    else:
        name, content_type, parts = query.name, request.media_type, request.parts(limit)
    file = await request.engine.files.keep(
        request.company.id, name, content_type, parts, limit=limit
    )
    return wire.file_shape(file)


async def list_files(request: Request) -> file_shapes.FilePage:
    """List the newest files of a company."""
    query = request.query(parts.PageQuery)
    files = await request.engine.files.list(request.company.id, _MOST_LISTED)
    part, following = part_of(files, query, lambda file: file.id)
    return file_shapes.FilePage(
        items=tuple(wire.file_shape(file) for file in part),
        next=following,
        total=len(files),
        total_is_exact=len(files) < _MOST_LISTED,
    )


async def show_file(request: Request) -> file_shapes.File:
    """Show a file's name, type, size and digest."""
    return wire.file_shape(await _file(request))


async def download_file(request: Request) -> Response:
    """Download a file, or with `Range` a part of it."""
    file = await _file(request)
    return download(request.engine.files, file, request.headers.get(b"range"))


async def _file(request: Request) -> StoredFile:
    text = request.params["file"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FileNotFound(f"there is no file {text}")
    return await request.engine.files.load(request.company.id, FileId(int(text)))


_FILES = "/companies/{company}/files"

ROUTES = (
    Route(
        method="POST",
        path=_FILES,
        permission=Permission.OPERATE,
        endpoint=upload_file,
        tag="files",
        query=file_shapes.FileQuery,
        media=(FORM, RAW),
        answer=file_shapes.File,
        status=201,
    ),
    Route(
        method="GET",
        path=_FILES,
        permission=Permission.READ,
        endpoint=list_files,
        tag="files",
        query=parts.PageQuery,
        answer=file_shapes.FilePage,
    ),
    Route(
        method="GET",
        path=f"{_FILES}/{{file}}",
        permission=Permission.READ,
        endpoint=show_file,
        tag="files",
        answer=file_shapes.File,
    ),
    Route(
        method="GET",
        path=f"{_FILES}/{{file}}/content",
        permission=Permission.READ,
        endpoint=download_file,
        tag="files",
        answer_media="*/*",
        statuses=(206,),
        headers={"Range": "A part of the file, such as bytes=0-99."},
    ),
)
