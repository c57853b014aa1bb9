"""The example task, executed for real: the vendor's own request with host, ids and keys changed."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.dialects.elma.conftest import a_bundle_of_bytes, a_caller, client_at, lines_of
from tests.support.receiver import Exchange, receiving
from tests.support.server import a_bundle, running_runyard

OWN_LOOPS = True
EXAMPLE = Path(__file__).parents[3] / "examples" / "order_intake.py"


async def answer(exchange: Exchange) -> None:
    """Give out a file, or be told."""
    if exchange.method == "POST":
        await exchange.answer("200 OK")
    else:
        await exchange.answer(
            body=b"%PDF-1", Content_Disposition="attachment; filename*=UTF-8''%C3%A4.pdf"
        )


def vendors_context(url: str) -> str:
    """The context of the vendor's page, with the address of its file changed."""
    file = f"{url}/v1/task/download_elma?uid=c054ab8e&system=5d5ec66f"
    return json.dumps(
        {
            "StringParam_in": "String value",
            "FileParam_in": file,
            "DateTimeParam_in": "2020-03-22T00:00:00Z",
            "BoolParam_in": True,
            "DoubleParam_in": 12.2,
            "IntParam_in": 76,
            "ArrayParam_in": [file, file],
        }
    )


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_the_vendors_request_works_on_the_example_task(
    memory_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    dsn = request.getfixturevalue("postgres_dsn") if database == "postgres" else None
    async with AsyncExitStack() as opened:
        other = await opened.enter_async_context(receiving(answer))
        server = await opened.enter_async_context(
            running_runyard(memory_path, dsn, allow_outbound=[other.allowance])
        )
        http = await opened.enter_async_context(client_at(server))
        company = await server.engine.companies.create("acme")
        bundle = a_bundle({EXAMPLE.name: EXAMPLE.read_text()})
        await server.engine.deploys.deploy(company, "examples", a_bundle_of_bytes(bundle))
        system = await a_caller(server, company, http, "Finance BPM")

        task = await system.create(vendors_context(other.url), callback=f"{other.url}/told")
        done = await system.until(task, "DONE", "ERROR")
        receipt = await system.call(
            "/repository/task/download", taskid=task, filename="receipt.txt"
        )
        [*fetched, told] = await other.has(4)

    assert done["status"] == "DONE", done["log"]
    assert json.loads(done["outputCtx"]) == {
        "stringvalue_out": "String value (taken)",
        "filevalue_out": "receipt.txt",
        "datetimevalue_out": "2020-03-21T00:00:00Z",
        "boolvalue_out": True,
        "doublevalue_out": 927.2,
        "intvalue_out": 76,
    }
    assert receipt.text.splitlines() == [
        "Order of String value",
        "Due on 22 March 2020",
        "Total 927.20",
        *["Enclosed: ä.pdf, 6 bytes"] * 3,
    ]
    assert [line.split("| ")[2] for line in lines_of(done)][-4:] == [
        *["received name='ä.pdf' size=6"] * 3,
        "Process 'Order intake' finished",
    ]
    assert [exchange.method for exchange in fetched] == ["GET"] * 3
    assert json.loads(told.body) == {"status": 200, "task": done}
