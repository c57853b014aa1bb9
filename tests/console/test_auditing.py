"""The audit log in the console: a company's for its administrators, the installation's for its own."""

import re

import pytest

from runyard.console.auditing import ON_A_PAGE
from runyard.engine.audit import Deed
from runyard.model.companies import Company
from runyard.model.tokens import Role
from tests.console.conftest import Place, Visitor

WHOLE = "/console/audit"


def home(place: Place) -> str:
    return f"/console/companies/{place.company.slug}/audit"


def note(place: Place, company: Company | None, count: int = 1, **more: str) -> None:
    for number in range(count):
        deed = {"action": "create_system", "subject": f"System {number}", **more}
        place.server.engine.audit.note(
            Deed(
                company=None if company is None else company.id,
                source="POST /x",
                address="10.0.0.7",
                **deed,
            )
        )


async def ids(visitor: Visitor, path: str) -> list[int]:
    """The entries that a page lists, in its order."""
    page = (await visitor.get(path)).text
    return [int(found) for found in re.findall(r'id="entry-(\d+)"', page)]


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page))


async def test_a_companys_log_shows_what_was_done_and_what_was_refused(place: Place) -> None:
    visitor = await place.signed_in(Role.ADMINISTRATOR)
    assert visitor.user is not None
    await visitor.post(
        f"/console/companies/{place.company.slug}/systems",
        page=f"/console/companies/{place.company.slug}/systems",
        name="Finance",
    )
    note(place, place.company, refusal="forbidden: this takes the role administrator")

    page = words((await visitor.get(home(place))).text)

    assert "System 0 Refused forbidden: this takes the role administrator 10.0.0.7" in page
    assert f"{visitor.user.email}" in page
    assert "create_system" in page
    assert "Done 127.0.0.1" in page


async def test_an_empty_log_says_what_will_stand_there(place: Place) -> None:
    visitor = await place.signed_in(Role.ADMINISTRATOR)

    page = (await visitor.get(home(place))).text

    assert "Nothing was done yet" in page


@pytest.mark.parametrize("whose", ["company", "installation"])
async def test_a_long_log_has_pages(place: Place, whose: str) -> None:
    visitor = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    company, path = (place.company, home(place)) if whose == "company" else (None, WHOLE)
    note(place, company, ON_A_PAGE + 2)

    page = (await visitor.get(path)).text
    [older] = re.findall(r'href="([^"]+)">Older<', page)
    rest = (await visitor.get(older)).text
    newest = await ids(visitor, path)

    assert len(newest) == ON_A_PAGE
    assert newest == sorted(newest, reverse=True)
    following = await ids(visitor, older)
    assert following[:2] == sorted(following[:2], reverse=True)
    assert max(following) < min(newest)
    assert f'href="{path}">Newest<' in rest
    for nonsense in ("x", "1", "1-x", "9999999999999999-1", "1-1"):
        assert (await visitor.get(f"{path}?before={nonsense}")).status_code == 200


async def test_logs_are_shown_to_their_own_administrators_alone(place: Place) -> None:
    ours = await place.signed_in(Role.ADMINISTRATOR)
    developer = await place.signed_in(Role.DEVELOPER)
    everywhere = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    note(place, place.company, subject="Ours alone")
    note(place, None, subject="Of the whole installation")

    company = [(await v.get(home(place))).status_code for v in (ours, developer, everywhere)]
    whole = [(await v.get(WHOLE)).status_code for v in (ours, developer, everywhere)]
    details = f"/console/companies/{place.company.slug}"
    tab = [f'href="{home(place)}"' in (await v.get(details)).text for v in (ours, developer)]
    section = [f'href="{WHOLE}"' in (await v.get("/console")).text for v in (ours, everywhere)]

    assert company == [200, 403, 200]
    assert whole == [403, 403, 200]
    assert tab == [True, False]
    assert section == [False, True]
    theirs, all_of_it = (await ours.get(home(place))).text, (await everywhere.get(WHOLE)).text
    assert "Ours alone" in theirs
    assert "Ours alone" not in all_of_it
    assert "Of the whole installation" in all_of_it
    assert "Of the whole installation" not in theirs


async def test_the_log_is_verified_from_its_page(place: Place) -> None:
    visitor = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    note(place, None)
    engine = place.server.engine

    page = (await visitor.get(f"{WHOLE}/verification")).text

    end = (await engine.audit.verify()).end
    assert f'href="{WHOLE}/verification"' in (await visitor.get(WHOLE)).text
    assert "are what was written" in page
    assert f"{end.place}:{end.link.hex()}" in page


async def test_what_is_wrong_with_the_log_is_named_on_its_page(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await place.signed_in(Role.ADMINISTRATOR, everywhere=True)
    note(place, None, 3)
    engine = place.server.engine
    await engine.audit.flush()
    keys = engine._keys
    other = keys.derive("another key")

    with monkeypatch.context() as patched:
        patched.setattr(keys, "derive", lambda purpose, *parts: other)
        wrong = words((await visitor.get(f"{WHOLE}/verification")).text)
    with monkeypatch.context() as patched:
        patched.setattr(keys, "are_right", False)
        unknown = words((await visitor.get(f"{WHOLE}/verification")).text)

    assert "Entry 1 (id " in wrong
    assert "it is not what was written" in wrong
    assert "The log cannot be verified" in unknown
    assert "master key" in unknown
