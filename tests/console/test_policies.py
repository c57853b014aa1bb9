"""What browsers are told about every answer: nothing for other origins, no script, no frame."""

from pathlib import Path

import httpx
import pytest

from runyard.console.assets import installed
from tests.support.server import administrator_secret, running_server

ADDRESSES = (
    "/healthz",
    "/metrics",
    "/nowhere",
    "/",
    "/console",
    "/console/login",
    "/console/companies/acme",
    "/console/companies/acme/systems",
    "/console/companies/acme/callbacks/list",
    "/console/workers/list",
    "/console/set-up/nobody",
    "/console/nowhere",
    "/remote-api/acme",
    "/remote-api/not a slug",
    "/api/remote/acme/orchestrator/status",
    "/api/remote/openapi.json",
    "/console/reference",
    "/console/reference/native",
    "/console/reference/nowhere",
    "/runyard/v1/openapi.json",
    "/runyard/v1/companies",
    "/runyard/v1/companies/acme/runs",
)
ORIGINS = ("https://elsewhere.example", "null", "http://127.0.0.1")


@pytest.mark.parametrize("origin", ORIGINS)
async def test_no_answer_is_shared_with_another_origin(memory_path: Path, origin: str) -> None:
    async with running_server(memory_path) as server:
        await server.engine.companies.create("acme")
        headers = {
            "origin": origin,
            "authorization": f"Bearer {administrator_secret(server)}",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization",
        }
        async with httpx.AsyncClient(base_url=server.url, headers=headers) as other:
            answers = [
                await other.request(method, address)
                for address in (*ADDRESSES, installed().address("elements.js"))
                for method in ("GET", "OPTIONS")
            ]

    shared = [
        (str(answer.request.url), name)
        for answer in answers
        for name in answer.headers
        if name.startswith("access-control-")
    ]
    assert shared == []


async def test_no_answer_is_taken_for_another_type(memory_path: Path) -> None:
    async with (
        running_server(memory_path) as server,
        httpx.AsyncClient(base_url=server.url) as anyone,
    ):
        answers = [await anyone.get(address) for address in ADDRESSES]

    pages = 0
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        if answer.headers["content-type"].startswith("text/html"):
            pages += 1
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'; script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert "base-uri 'none'" in policy
            assert answer.headers["referrer-policy"] == "same-origin"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert pages > 5
