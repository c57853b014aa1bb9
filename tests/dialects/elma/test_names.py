"""UUIDs that are derived: the same every time, and different for different things."""

from datetime import timedelta
from uuid import UUID

from runyard.dialects.elma import names
from runyard.model.companies import Company
from runyard.model.ids import ActorId, CompanyId, RunId, WorkerId
from tests.support.turned_clock import BEGINNING


def a_company(number: int) -> Company:
    return Company(
        id=CompanyId(number),
        uuid=UUID(int=number),
        slug=f"c{number}",
        name="",
        time_zone="UTC",
        runnable=True,
        default_priority=50,
        retention=timedelta(days=1),
        queue_cap=1,
        weight=1,
        created_at=BEGINNING,
    )


def some_of(company: Company) -> list[str]:
    return [
        names.group_uuid(company, "1"),
        names.group_uuid(company, "gpu"),
        names.bot_uuid(company, WorkerId(1)),
        names.user_uuid(company, ActorId(1)),
        names.context_uuid(company, RunId(1)),
        names.context_uuid(company, RunId(2)),
    ]


def test_each_thing_has_a_uuid_of_its_own_that_stays_the_same() -> None:
    found = some_of(a_company(1)) + some_of(a_company(2))

    assert len(set(found)) == len(found)
    assert found == some_of(a_company(1)) + some_of(a_company(2))
    assert all(str(UUID(one)) == one and UUID(one).version == 5 for one in found)
