"""The pages about callbacks: whom a company told, and how it is told again."""

import asyncio
import re

import pytest

from runyard.console.callbacks import ON_A_PAGE
from runyard.model.callbacks import Callback, CallbackState
from runyard.model.ids import encode_public_id
from runyard.model.tokens import Role
from tests.console.callbacks import NOWHERE, a_dead_callback, a_waiting_callback
from tests.console.conftest import Place, Visitor


def home(place: Place) -> str:
    return f"/console/companies/{place.company.slug}/callbacks"


async def ids(visitor: Visitor, path: str) -> list[int]:
    """The callbacks that a page lists, in its order."""
    page = (await visitor.get(path)).text
    return [int(found) for found in re.findall(r'id="callback-(\d+)"', page)]


async def test_callbacks_are_listed_by_state_newest_first(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)
    dead = await a_dead_callback(place.server, place.company)
    waiting = await a_waiting_callback(place.server, place.company, NOWHERE)

    assert await ids(visitor, home(place)) == [waiting.id, dead.id]
    assert await ids(visitor, f"{home(place)}/list") == [waiting.id, dead.id]
    for state, found in (("dead", [dead.id]), ("waiting", [waiting.id]), ("delivered", [])):
        assert await ids(visitor, f"{home(place)}?state={state}") == found
    assert len(await ids(visitor, f"{home(place)}?state=nonsense&before=x")) == 2
    page = (await visitor.get(home(place))).text
    assert "1 given up" in re.sub("<[^>]+>", "", page)
    assert "http://localhost:9/hook?..." in page
    assert "may not be visited" in page


async def test_a_long_list_has_pages(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)
    made = [
        (await a_waiting_callback(place.server, place.company, NOWHERE)).id
        for _ in range(ON_A_PAGE + 2)
    ]

    page = (await visitor.get(f"{home(place)}?state=waiting")).text
    [older] = re.findall(r'href="([^"]+)">Older<', page)
    rest = (await visitor.get(older.replace("&amp;", "&"))).text

    assert [int(i) for i in re.findall(r'id="callback-(\d+)"', page)] == made[:1:-1]
    assert [int(i) for i in re.findall(r'id="callback-(\d+)"', rest)] == made[1::-1]
    assert f'href="{home(place)}?state=waiting">Newest<' in rest
    assert ">Older<" not in rest


async def test_a_callback_shows_what_it_says_and_why_it_was_given_up(place: Place) -> None:
    visitor = await place.signed_in(Role.VIEWER)
    dead = await a_dead_callback(place.server, place.company)

    page = (await visitor.get(f"{home(place)}/{dead.id}")).text

    assert "may not be visited (rule: " in page
    assert encode_public_id(dead.public_id) in page
    assert "POST http://localhost:9/hook?..." in page
    assert "key=secret" not in page
    assert "&#34;type&#34;: &#34;run.cancelled&#34;" in page
    assert "Send again" not in page


async def test_what_lets_a_system_in_is_not_in_what_it_is_told(place: Place) -> None:
    """Its callbacks name it by its UUID, which would let everybody in who may see the page."""
    viewer = await place.signed_in(Role.VIEWER)
    engine = place.server.engine
    created = await engine.systems.create(place.company, "Finance", allowed=True)
    dead = await a_dead_callback(place.server, place.company, "elma", created.system.actor)
    told = await engine.callbacks.body(place.company, dead)

    page = (await viewer.get(f"{home(place)}/{dead.id}")).text

    assert told is not None
    assert created.uuid.encode() in told
    assert created.uuid not in page
    assert f"&#34;system&#34;: &#34;...{created.uuid[-4:]}&#34;" in page


async def test_a_server_with_another_master_key_shows_all_but_what_it_cannot_say(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = await place.signed_in(Role.VIEWER)
    created = await place.server.engine.systems.create(place.company, "Finance")
    dead = await a_dead_callback(place.server, place.company, "elma", created.system.actor)
    monkeypatch.setattr(place.server.engine._keys, "are_right", False)

    shown = await viewer.get(f"{home(place)}/{dead.id}")

    assert shown.status_code == 200
    assert "What it says cannot be shown here: the master key of this server" in shown.text


async def test_what_a_waiting_callback_says_is_not_known_yet(place: Place) -> None:
    operator = await place.signed_in(Role.OPERATOR)
    waiting = await a_waiting_callback(place.server, place.company, NOWHERE)

    page = (await operator.get(f"{home(place)}/{waiting.id}")).text
    refused = await operator.post(f"{home(place)}/{waiting.id}/resend")

    assert "What it says is known once its run has ended." in page
    assert "Send again" not in page
    assert refused.status_code == 409
    assert "it is sent by itself" in refused.text


async def test_a_dead_callback_is_sent_again(place: Place) -> None:
    operator = await place.signed_in(Role.OPERATOR)
    dead = await a_dead_callback(place.server, place.company)
    path = f"{home(place)}/{dead.id}"
    offered = (await operator.get(path)).text

    done = await operator.post(f"{path}/resend")

    assert ">Send again<" in offered
    assert done.headers["location"] == f"{path}?said=callback-resent"
    assert "The callback is sent again." in (await operator.get(done.headers["location"])).text
    await told_again(place, dead)


async def test_all_dead_callbacks_are_sent_again(place: Place) -> None:
    operator = await place.signed_in(Role.OPERATOR)
    dead = [await a_dead_callback(place.server, place.company) for _ in range(2)]
    assert "Send all again" in (await operator.get(home(place))).text

    done = await operator.post(f"{home(place)}/resend-dead")

    assert done.headers["location"] == f"{home(place)}?said=callbacks-resent"
    for each in dead:
        await told_again(place, each)


async def told_again(place: Place, dead: Callback) -> None:
    """Wait until a dead callback was tried once more, and given up once more."""
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.01)  # noqa: TID251 - the courier is on its way
            now = await place.server.engine.callbacks.load(place.company, str(dead.id))
            if now.state is CallbackState.DEAD and now.ended_at != dead.ended_at:
                return


async def test_another_companys_callback_does_not_exist(place: Place) -> None:
    operator = await place.signed_in(Role.OPERATOR)
    other = await place.server.engine.companies.create(f"{place.company.slug}-x")
    foreign = await a_waiting_callback(place.server, other, NOWHERE)

    shown = await operator.get(f"{home(place)}/{foreign.id}")
    resent = await operator.post(f"{home(place)}/{foreign.id}/resend")

    assert (shown.status_code, resent.status_code) == (404, 404)
    assert await ids(operator, home(place)) == []
