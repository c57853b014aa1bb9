"""The pages about systems: seen by everybody in a company, decided about by its administrators."""

import re

import pytest

from runyard.model.errors import SystemNotAllowed, Unauthenticated
from runyard.model.systems import SystemState
from runyard.model.tokens import Role
from tests.console.conftest import Place, Visitor

UUID = re.compile(r'id="uuid"[^>]* value="([0-9a-f-]{36})"')


def home(place: Place) -> str:
    return f"/console/companies/{place.company.slug}/systems"


async def create(place: Place, name: str = "Finance", **changes: object) -> int:
    created = await place.server.engine.systems.create(place.company, name, **changes)  # type: ignore[arg-type]
    return created.system.id


async def names(visitor: Visitor, path: str) -> list[str]:
    """The systems that a page lists, in its order."""
    page = (await visitor.get(path)).text
    return re.findall(r'<a class="name" href="[^"]+">([^<]+)</a>', page)


async def test_a_system_is_created_and_its_uuid_shown_once(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)

    made = await admin.post(home(place), name="Finance", description="Books invoices")
    [uuid] = UUID.findall(made.text)
    [system] = await place.server.engine.systems.list(place.company)

    assert made.status_code == 200
    assert (system.state, system.description) == (SystemState.REQUEST, "Books invoices")
    assert "It opens nothing until the system is allowed." in made.text
    assert place.server.engine.systems.reveal(system) == uuid
    for path in (home(place), f"{home(place)}/{system.id}", f"{home(place)}/list"):
        page = (await admin.get(path)).text
        assert uuid not in page
        assert uuid[-4:] in page


async def test_a_system_may_be_created_allowed(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)

    made = await admin.post(home(place), name="Finance", allowed="yes")
    [uuid] = UUID.findall(made.text)

    assert (await place.server.engine.systems.admit(uuid)).name == "Finance"


async def test_the_form_says_what_is_wrong_and_keeps_what_was_typed(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    await create(place)
    typed = {"description": "kept", "files_from": "host\nhttp://wrong/"}

    number = await admin.post(home(place), name="717", **typed)
    taken = await admin.post(home(place), name="Finance", description="kept")

    assert (number.status_code, taken.status_code) == (400, 409)
    assert 'id="name-complaint"' in number.text
    assert "not only digits" in number.text
    assert "http://wrong/" in number.text
    assert 'id="files_from-complaint"' in number.text
    assert 'id="name-complaint"' in taken.text
    assert "There is a system" in taken.text
    for page in (number, taken):
        assert 'value="kept"' in page.text
    assert len(await place.server.engine.systems.list(place.company)) == 1


async def test_systems_are_listed_by_state_and_by_text_waiting_ones_first(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)
    await create(place, "Waits", description="of the warehouse")
    locked = await place.server.engine.systems.create(place.company, "Locked one", allowed=True)
    await place.server.engine.systems.keep_out(locked.system)
    await create(place, "Calls", allowed=True)

    page = (await visitor.get(home(place))).text

    assert await names(visitor, home(place)) == ["Waits", "Calls", "Locked one"]
    for state, name in (("request", "Waits"), ("allowed", "Calls"), ("locked", "Locked one")):
        assert await names(visitor, f"{home(place)}?state={state}") == [name]
        assert await names(visitor, f"{home(place)}/list?state={state}&search=") == [name]
        assert re.search(rf"state={state}&amp;search=\"[^>]*>\w+ <span class=\"count[^>]*>1<", page)
    assert await names(visitor, f"{home(place)}?search=WAREHOUSE") == ["Waits"]
    assert await names(visitor, f"{home(place)}?search=warehouse&state=locked") == []
    assert await names(visitor, f"{home(place)}?state=nonsense") == ["Waits", "Calls", "Locked one"]


async def test_a_waiting_system_is_announced_where_people_look(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)
    company = f"/console/companies/{place.company.slug}"
    quiet = (await visitor.get("/console")).text
    await create(place)

    loud = (await visitor.get("/console")).text
    tabs = [(await visitor.get(f"{company}{path}")).text for path in ("", "/systems", "/callbacks")]

    assert "system waits" not in quiet
    assert f'href="{company}/systems?state=request">1 system waits</a>' in loud
    for page in tabs:
        assert "1 waiting to be allowed" in re.sub("<[^>]+>", "", page)


async def test_a_system_is_allowed_and_locked_from_list_and_page(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    created = await place.server.engine.systems.create(place.company, "Finance")
    systems, path = place.server.engine.systems, f"{home(place)}/{created.system.id}"

    allowed = await admin.post(f"{path}/allow")
    admitted = await systems.admit(created.uuid, "192.0.2.17")
    locked = await admin.post(f"{path}/lock", here="yes")

    assert allowed.headers["location"] == f"{home(place)}?said=system-allowed"
    assert locked.headers["location"] == f"{path}?said=system-locked"
    assert admitted.id == created.system.id
    with pytest.raises(SystemNotAllowed):
        await systems.admit(created.uuid)
    page = (await admin.get(locked.headers["location"])).text
    assert "The system is locked: it is refused from now on." in page
    assert "It is kept out" in page
    assert admin.user is not None
    assert f"by {admin.user.email}" in page


async def test_a_system_is_changed(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    path = f"{home(place)}/{await create(place)}"
    hosts = "10.1.0.0/16:443\r\n\r\n bpm.example.org \r\n"

    done = await admin.post(path, name="Accounts", description="d", files_from=hosts)
    wrong = await admin.post(path, name="", description="typed", files_from="")

    assert done.headers["location"] == f"{path}?said=system-saved"
    [system] = await place.server.engine.systems.list(place.company)
    assert (system.name, system.description) == ("Accounts", "d")
    assert system.files_from == ("10.1.0.0/16:443", "bpm.example.org")
    assert wrong.status_code == 400
    assert 'value="typed"' in wrong.text
    assert "<h1>Accounts</h1>" in wrong.text


async def test_a_companys_administrator_closes_hosts_and_opens_none(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    system = await create(place, files_from=["10.1.0.0/16", "bpm.example.org"])
    path = f"{home(place)}/{system}"

    opening = await admin.post(path, name="Finance", files_from="10.1.0.0/16\n10.2.0.0/16")
    creating = await admin.post(home(place), name="Other", files_from="10.2.0.0/16")
    closing = await admin.post(path, name="Finance", files_from="10.1.0.0/16")

    assert (opening.status_code, creating.status_code) == (403, 403)
    for page in (opening, creating):
        assert "10.2.0.0/16 is opened by administrators of the whole installation" in page.text
    assert closing.status_code == 303
    [kept] = await place.server.engine.systems.list(place.company)
    assert kept.files_from == ("10.1.0.0/16",)


async def test_a_uuid_is_renewed_once_for_each_time_it_was_asked_for(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    systems = place.server.engine.systems
    created = await systems.create(place.company, "Finance", allowed=True)
    path = f"{home(place)}/{created.system.id}"
    present = created.uuid[-4:]

    made = await admin.post(f"{path}/renew", present=present)
    again = await admin.post(f"{path}/renew", present=present)

    [uuid] = UUID.findall(made.text)
    assert uuid != created.uuid
    assert again.status_code == 303
    assert (await systems.admit(uuid)).id == created.system.id
    with pytest.raises(Unauthenticated):
        await systems.admit(created.uuid)


async def test_a_system_is_removed(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    path = f"{home(place)}/{await create(place)}"

    done = await admin.post(f"{path}/remove")
    gone = await admin.get(path)

    assert done.headers["location"] == f"{home(place)}?said=system-removed"
    assert gone.status_code == 404
    assert await names(admin, home(place)) == []


async def test_who_does_not_decide_sees_no_buttons(place: Place) -> None:
    path = f"{home(place)}/{await create(place, files_from=['10.1.0.0/16'])}"
    for role, decides in (
        (Role.VIEWER, False),
        (Role.DEVELOPER, False),
        (Role.ADMINISTRATOR, True),
    ):
        visitor = await place.signed_in(role)
        both = (await visitor.get(home(place))).text + (await visitor.get(path)).text

        for button in (">Allow<", ">Lock<", ">Create system<", ">Save<", ">Renew<", ">Remove<"):
            assert (button in both) == decides, (role, button)
        assert "10.1.0.0/16" in both


async def test_another_companys_system_does_not_exist(place: Place) -> None:
    admin = await place.signed_in(Role.ADMINISTRATOR)
    other = await place.server.engine.companies.create(f"{place.company.slug}-x")
    foreign = await place.server.engine.systems.create(other, "Foreign")
    path = f"{home(place)}/{foreign.system.id}"

    answers = [await admin.get(path), await admin.get(f"{home(place)}/Foreign")]
    answers += [
        await admin.post(f"{path}{verb}") for verb in ("", "/allow", "/lock", "/renew", "/remove")
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert await names(admin, home(place)) == []
