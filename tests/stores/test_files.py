"""Files and the blobs behind them."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from runyard.model.errors import StorageUnavailable
from runyard.model.files import StoredFile
from runyard.model.ids import FileId
from runyard.stores.contract.store import Store
from runyard.stores.postgres.blobs import SharedBlobs
from runyard.stores.postgres.store import open_postgres
from runyard.stores.tables.values import INLINE_LIMIT
from tests.stores.builders import ACME, GLOBEX, World, a_finish, later
from tests.stores.places import Place
from tests.stores.test_attempts import a_step

DAY = timedelta(days=1)
SOON = datetime.fromtimestamp(2**33, tz=UTC)
"""Later than anything that these tests touch."""


def a_file(number: int = 1, **changes) -> StoredFile:
    file = StoredFile(
        id=FileId(number),
        company_id=ACME,
        run_id=None,
        name="report.csv",
        content_type="text/csv",
        size=7,
        digest="d" * 64,
        created_at=later(number),
    )
    return msgspec.structs.replace(file, **changes)


async def test_files_are_found_through_their_company(store: Store) -> None:
    first, second = a_file(1), a_file(2, run_id=9)
    await store.files.create(first)
    await store.files.create(second)
    await store.files.create(a_file(3, company_id=GLOBEX, run_id=9))

    assert await store.files.find(ACME, FileId(1)) == first
    assert await store.files.find(GLOBEX, FileId(1)) is None
    assert await store.files.find_many(ACME, [FileId(n) for n in (3, 2, 1, 7)]) == [first, second]
    assert await store.files.of_run(ACME, 9) == [second]
    assert await store.files.list(ACME, 10) == [second, first]
    assert await store.files.list(ACME, 1) == [second]


async def all_of(store: Store, digest: str, *where: int) -> bytes:
    return b"".join([part async for part in store.blobs.read(digest, *where)])


async def test_a_blob_is_known_by_its_digest(store: Store) -> None:
    data = os.urandom(700_000)

    digest = await store.blobs.put(data)

    assert digest == hashlib.sha256(data).hexdigest()
    assert await store.blobs.size(digest) == 700_000
    assert await store.blobs.load(digest) == data
    assert await all_of(store, digest) == data
    assert await all_of(store, digest, 600_000) == data[600_000:]
    assert await all_of(store, digest, 10, 300_000) == data[10:300_010]
    assert await all_of(store, digest, 800_000) == b""


async def test_a_blob_is_written_in_parts_and_seen_when_committed(store: Store) -> None:
    writer = await store.blobs.create()
    for part in (b"Fort ", b"", b"Worth"):
        await writer.write(part)
    digest = hashlib.sha256(b"Fort Worth").hexdigest()
    assert await store.blobs.size(digest) is None

    assert await writer.commit() == (digest, 10)

    assert await store.blobs.load(digest) == b"Fort Worth"


async def test_an_aborted_blob_leaves_nothing(store: Store, place: Place) -> None:
    writer = await store.blobs.create()
    await writer.write(b"secret")

    await writer.abort()

    assert await store.blobs.load(hashlib.sha256(b"secret").hexdigest()) is None
    files = [path for path in (place.folder / "blobs").rglob("*") if path.is_file()]
    assert files == []


async def test_the_same_bytes_are_kept_once(store: Store, place: Place) -> None:
    assert await store.blobs.put(b"x" * 99) == await store.blobs.put(b"x" * 99)

    files = [path for path in (place.folder / "blobs").rglob("*") if path.is_file()]
    assert len(files) == 1


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 63])
async def test_what_is_no_digest_is_no_blob(store: Store, digest: str) -> None:
    assert await store.blobs.size(digest) is None
    assert await store.blobs.load(digest) is None


async def test_an_unknown_blob_cannot_be_read(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        await all_of(store, "0" * 64)


async def test_old_blobs_that_nothing_names_are_pruned(world: World) -> None:
    store = world.store
    named, forgotten = await store.blobs.put(b"named"), await store.blobs.put(b"forgotten")

    assert await store.blobs.prune(later(-365 * 86_400), {named}) == 0
    assert await store.blobs.prune(SOON, {named}) == 1

    assert await store.blobs.load(named) == b"named"
    assert await store.blobs.load(forgotten) is None


async def test_blobs_of_values_steps_and_files_are_not_pruned(world: World) -> None:
    store = world.store
    task = await world.add_task()
    large = [bytes([n]) * (INLINE_LIMIT + 1) for n in range(3)]
    await task.start(input=large[0])
    [claimed] = await world.claim(task)

    await store.runs.record_step(a_step(claimed, value=large[1]))
    await store.runs.finish([a_finish(claimed, output=large[2])])
    digest = await store.blobs.put(b"a file")
    await store.files.create(a_file(digest=digest))
    await store.blobs.put(b"an orphan")

    assert await store.blobs.prune(SOON, set()) == 1

    values = await store.runs.values(ACME, claimed.run_id)
    assert values is not None
    assert (values.input, values.output) == (large[0], large[2])
    assert await store.blobs.load(digest) == b"a file"


async def test_blobs_behind_many_that_are_named_are_pruned(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the look ended at the first five hundred that were all named."""
    for module in ("runyard.stores.blobs", "runyard.stores.postgres.blobs"):
        monkeypatch.setattr(f"{module}.PRUNED_AT_ONCE", 2)
    for number in range(5):
        digest = await store.blobs.put(b"named %d" % number)
        await store.files.create(a_file(1_000 + number, digest=digest))
    orphans = [await store.blobs.put(b"orphan %d" % number) for number in range(3)]

    assert await store.blobs.prune(SOON, set()) == 3

    assert [await store.blobs.size(orphan) for orphan in orphans] == [None] * 3


async def test_unfinished_blobs_of_a_dead_server_are_pruned(store: Store, place: Place) -> None:
    writer = await store.blobs.create()
    await writer.write(b"x" * 100_000)
    folder = Path(place.folder) / "blobs" / "unfinished"
    assert len(list(folder.iterdir())) == 1

    await store.blobs.prune(SOON, set())

    assert list(folder.iterdir()) == []
    await writer.abort()


# ---------------------------------------------------------------- several servers


@pytest.fixture
async def pair(postgres_dsn: str, memory_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Two servers of one database, each with a data folder of its own."""
    stores = [await open_postgres(postgres_dsn, memory_path / name) for name in ("one", "two")]
    yield stores[0], stores[1]
    for store in stores:
        await store.close()


async def test_a_blob_of_one_server_is_read_at_another(pair: tuple[Store, Store]) -> None:
    one, two = pair
    data = os.urandom(700_000)
    writer = await one.blobs.create()
    await writer.write(data)
    digest, _ = await writer.commit()

    assert await two.blobs.size(digest) == len(data)
    assert await all_of(two, digest, 300_000, 5) == data[300_000:300_005]
    assert await two.blobs.load(digest) == data
    assert await one.blobs.put(data) == await two.blobs.put(data) == digest


async def test_an_empty_blob_is_shared_like_any_other(pair: tuple[Store, Store]) -> None:
    one, two = pair

    digest = await one.blobs.put(b"")

    assert await two.blobs.load(digest) == b""


async def test_a_blob_pruned_at_one_server_is_gone_and_can_be_kept_again(
    pair: tuple[Store, Store],
) -> None:
    one, two = pair
    digest = await one.blobs.put(b"again and again")

    assert await two.blobs.prune(SOON, set()) == 1
    assert await two.blobs.load(digest) is None
    assert await one.blobs.put(b"again and again") == digest

    assert await two.blobs.load(digest) == b"again and again"


async def test_many_servers_keep_the_same_bytes_at_once(pair: tuple[Store, Store]) -> None:
    digests = await asyncio.gather(
        *(store.blobs.put(b"%d" % (number % 3)) for number in range(30) for store in pair)
    )

    assert len(set(digests)) == 3


async def test_after_a_restart_of_the_database_a_blob_is_kept_at_the_second_try(
    pair: tuple[Store, Store], postgres_dsn: str
) -> None:
    """Each connection of before cost another try, and a large blob could not be tried again."""
    one, two = pair
    await asyncio.gather(*(one.blobs.put(b"x" * 300_000 + b"%d" % n) for n in range(4)))
    assert isinstance(one.blobs, SharedBlobs)
    known = [connection.info.backend_pid for connection in one.blobs._idle]
    assert len(known) > 1
    async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as database:
        await database.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", (known,))
    writer = await one.blobs.create()
    await writer.write(b"y" * 300_000)

    with pytest.raises(StorageUnavailable):
        await writer.commit()
    digest, size = await writer.commit()

    assert await two.blobs.load(digest) == b"y" * 300_000
    assert size == 300_000
