"""API keys of users, and the keys that signed tokens are signed with."""

from runyard.dialects.native.paging import part_of
from runyard.model.credentials import ApiKey, SigningKey
from runyard.model.errors import ApiKeyNotFound
from runyard.model.ids import ApiKeyId
from runyard.model.tokens import Permission
from runyard.protocol.shapes import credentials as credential_shapes
from runyard.protocol.shapes import parts
from runyard.web.requests import Request
from runyard.web.responses import Response
from runyard.web.routing import Route


async def list_api_keys(request: Request) -> credential_shapes.ApiKeyPage:
    """List a user's API keys, newest first, without their secrets."""
    query = request.query(parts.PageQuery)
    user = await request.engine.users.load(request.params["user"])
    keys = await request.engine.api_keys.list(user)
    part, following = part_of(keys, query, lambda key: key.id)
    return credential_shapes.ApiKeyPage(
        items=tuple(map(_shown, part)), next=following, total=len(keys), total_is_exact=True
    )


async def create_api_key(request: Request) -> credential_shapes.CreatedApiKey:
    """Make an API key, with which the user's programs log in. It is shown only now."""
    wanted = await request.json_or(credential_shapes.NewApiKey())
    user = await request.engine.users.load(request.params["user"])
    new = await request.engine.api_keys.create(user, name=wanted.name, lasting=wanted.lasting)
    key = new.key
    return credential_shapes.CreatedApiKey(
        id=key.id,
        name=key.name,
        last_characters=key.last_characters,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        secret=new.secret,
    )


async def revoke_api_key(request: Request) -> Response:
    """Make an API key worthless, and end every session that logged in with it, at once."""
    user = await request.engine.users.load(request.params["user"])
    ref = request.params["key"]
    if not (ref.isascii() and ref.isdigit() and len(ref) < 19):
        raise ApiKeyNotFound(f"the user has no API key {ref!r}")
    await request.engine.api_keys.revoke(user.id, ApiKeyId(int(ref)))
    return Response(status=204)


async def list_signing_keys(request: Request) -> credential_shapes.SigningKeyPage:
    """List the keys that tokens are signed with, newest first."""
    query = request.query(parts.PageQuery)
    keys = await request.engine.signing.list()
    return credential_shapes.SigningKeyPage(
        items=tuple(_key_shape(key) for key in keys[: query.limit]),
        next=None,
        total=len(keys),
        total_is_exact=True,
    )


async def rotate_signing_keys(request: Request) -> credential_shapes.SigningKey:
    """Sign with a new key from now on. What earlier keys signed stays valid until it expires, or with
    `discard` ends at once.
    """
    wanted = await request.json_or(credential_shapes.Rotation())
    return _key_shape(await request.engine.signing.rotate(discard=wanted.discard))


def _shown(key: ApiKey) -> credential_shapes.ApiKey:
    return credential_shapes.ApiKey(
        id=key.id,
        name=key.name,
        last_characters=key.last_characters,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )


def _key_shape(key: SigningKey) -> credential_shapes.SigningKey:
    return credential_shapes.SigningKey(
        id=key.id, created_at=key.created_at, retired_at=key.retired_at
    )


ROUTES = (
    Route(
        method="GET",
        path="/users/{user}/api-keys",
        permission=Permission.INSTALL,
        endpoint=list_api_keys,
        tag="users",
        query=parts.PageQuery,
        answer=credential_shapes.ApiKeyPage,
    ),
    Route(
        method="POST",
        path="/users/{user}/api-keys",
        permission=Permission.INSTALL,
        endpoint=create_api_key,
        tag="users",
        body=credential_shapes.NewApiKey,
        is_body_optional=True,
        answer=credential_shapes.CreatedApiKey,
        status=201,
    ),
    Route(
        method="DELETE",
        path="/users/{user}/api-keys/{key}",
        permission=Permission.INSTALL,
        endpoint=revoke_api_key,
        tag="users",
        status=204,
    ),
    Route(
        method="GET",
        path="/signing-keys",
        permission=Permission.INSTALL,
        endpoint=list_signing_keys,
        tag="tokens",
        query=parts.PageQuery,
        answer=credential_shapes.SigningKeyPage,
    ),
    Route(
        method="POST",
        path="/signing-keys/rotate",
        permission=Permission.INSTALL,
        endpoint=rotate_signing_keys,
        tag="tokens",
        body=credential_shapes.Rotation,
        is_body_optional=True,
        answer=credential_shapes.SigningKey,
        status=201,
    ),
)
