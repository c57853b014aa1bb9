"""R10: callbacks are delivered at least once, signed, repeated after pauses, then kept as dead ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from runyard.engine.callbacks import NATIVE, CallbackRequest
from runyard.engine.clock import SystemClock
from runyard.engine.couriers import (
    FIRST_PAUSES,
    HELD_FOR,
    LANE_WIDTH,
    LONGEST_PAUSE,
    MOST_TRIES,
    SLOW_LANE_WIDTH,
    pause_after,
)
from runyard.engine.engine import EngineSettings
from runyard.engine.keys import Keys
from runyard.engine.signatures import secret_text, signed_headers
from runyard.model.callbacks import Callback, CallbackState
from runyard.model.companies import Company
from runyard.model.errors import (
    CallbackNotFound,
    CallbackNotReady,
    InputRefused,
    WrongMasterKey,
)
from runyard.model.ids import encode_public_id
from runyard.model.runs import Outcome, Run
from runyard.model.states import Cause, RunState
from runyard.outbound.addresses import Allowances
from runyard.outbound.client import OutboundClient
from runyard.stores.contract.callbacks import CallbackHold
from runyard.stores.contract.runs import Move, RunValues
from runyard.stores.contract.store import Store
from runyard.stores.postgres.store import open_postgres
from runyard.telemetry import CALLBACK_DIED, MASTER_KEY_DIFFERS, listening
from tests.support.receiver import Exchange, receiving
from tests.support.turned_clock import BEGINNING, TurnedClock
from tests.support.yard import Yard, opened_yard

LOOPBACK = Allowances.read(["127.0.0.1"])


async def body(company: Company, run: Run, values: RunValues) -> bytes:
    return msgspec.json.encode({"company": company.slug, "run": run.id, "state": run.state})


@asynccontextmanager
async def a_sender(
    store: Store,
    clock: TurnedClock | None = None,
    allowed: Allowances = LOOPBACK,
    server: str = "test",
) -> AsyncIterator[Yard]:
    async with (
        OutboundClient(allowed) as outbound,
        opened_yard(store, clock, server, outbound) as yard,
    ):
        yard.engine.callbacks.bodies[NATIVE] = body
        yield yard


@pytest.fixture
async def yard(store: Store) -> AsyncIterator[Yard]:
    async with a_sender(store) as yard:
        yield yard


class Answers:
    """A receiver that answers what it is told to, then 204."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)

    async def __call__(self, exchange: Exchange) -> None:
        status = self._answers.pop(0) if self._answers else "204 No Content"
        if status == "break off":
            exchange.writer.close()
        else:
            await exchange.answer(status)


def told(*urls: str) -> tuple[CallbackRequest, ...]:
    return tuple(CallbackRequest(url=url) for url in urls)


async def an_ended_run(yard: Yard, *urls: str, outcome: Outcome = Outcome.RETURNED) -> Run:
    await yard.a_task()
    run = await yard.a_run(callbacks=told(*urls))
    worker = await yard.a_worker()
    await yard.executed(worker, outcome)
    return await yard.run(run)


async def callback_of(yard: Yard, run: Run, place: int = 0) -> Callback:
    return (await yard.engine.callbacks.of_run(yard.company, run))[place]


async def until(yard: Yard, run: Run, state: CallbackState, tries: int | None = None) -> Callback:
    """The run's callback once it is in this state."""
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0)  # noqa: TID251 - reading may not wait for anything
            callback = await callback_of(yard, run)
            if callback.state is state and tries in (None, callback.tries):
                return callback


async def test_the_end_of_a_run_is_told(yard: Yard) -> None:
    async with receiving(Answers()) as receiver:
        run = await an_ended_run(yard, f"{receiver.url}/ended?order=7")
        [arrived] = await receiver.has(1)
        callback = await until(yard, run, CallbackState.DELIVERED)

    assert (arrived.method, arrived.target) == ("POST", "/ended?order=7")
    assert arrived.headers["content-type"] == "application/json"
    assert msgspec.json.decode(arrived.body) == {
        "company": "acme",
        "run": run.id,
        "state": "completed",
    }
    assert arrived.headers["webhook-id"] == encode_public_id(callback.public_id)
    assert (callback.tries, callback.answered, callback.detail) == (1, 204, "")
    assert callback.ended_at == BEGINNING


@pytest.mark.parametrize("way", ["failed", "cancelled"])
async def test_every_end_is_told(yard: Yard, way: str) -> None:
    await yard.a_task()
    async with receiving(Answers()) as receiver:
        run = await yard.a_run(callbacks=told(receiver.url))
        if way == "failed":
            await yard.executed(await yard.a_worker(), Outcome.RAISED)
        else:
            await yard.engine.runs.cancel(yard.company, str(run.id))
        [arrived] = await receiver.has(1)

    assert msgspec.json.decode(arrived.body)["state"] == way


async def test_cleaning_a_queue_tells_of_every_run(yard: Yard) -> None:
    await yard.a_task()
    async with receiving(Answers()) as receiver:
        for _ in range(3):
            await yard.a_run(callbacks=told(receiver.url))
        await yard.engine.tasks.clean(yard.company, "Work")
        arrived = await receiver.has(3)

    assert len({exchange.headers["webhook-id"] for exchange in arrived}) == 3


async def test_a_run_may_have_several(yard: Yard) -> None:
    async with receiving(Answers()) as one, receiving(Answers()) as other:
        await an_ended_run(yard, one.url, other.url, f"{one.url}/again")
        await one.has(2)
        await other.has(1)


async def test_a_restart_tells_the_same(yard: Yard) -> None:
    async with receiving(Answers()) as receiver:
        run = await an_ended_run(yard, f"{receiver.url}/ended")
        await receiver.has(1)
        again = await yard.engine.runs.restart(yard.company, str(run.id))
        await yard.engine.runs.cancel(yard.company, str(again.id))
        first, second = await receiver.has(2)

    assert first.headers["webhook-id"] != second.headers["webhook-id"]
    assert msgspec.json.decode(second.body)["run"] == again.id
    assert second.target == "/ended"


# ---------------------------------------------------------------- headers


async def test_headers_of_a_caller_are_sent_and_kept_sealed(yard: Yard) -> None:
    secret = "Bearer of-the-receiver"
    async with receiving(Answers()) as receiver:
        asked = CallbackRequest(url=receiver.url, headers={"Authorization": secret, "X-Empty": ""})
        await yard.a_task()
        run = await yard.a_run(callbacks=(asked,))
        await yard.executed(await yard.a_worker(), Outcome.RETURNED)
        [first] = await receiver.has(1)
        again = await yard.engine.runs.restart(yard.company, str(run.id))
        await yard.engine.runs.cancel(yard.company, str(again.id))
        _, second = await receiver.has(2)
        held = [await callback_of(yard, each) for each in (run, again)]

    for arrived in (first, second):
        assert arrived.headers["authorization"] == secret
        assert arrived.headers["x-empty"] == ""
        assert arrived.headers["content-type"] == "application/json"
        assert "webhook-signature" in arrived.headers
    for callback in held:
        assert callback.headers is not None
        assert b"receiver" not in callback.headers
    with pytest.raises(WrongMasterKey, match="do not open"):
        Keys(b"another").unseal("headers of callbacks", yard.company.uuid.bytes, held[0].headers)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Host": "x"}, "sets itself"),
        ({"webhook-id": "x"}, "sets itself"),
        ({"Content-Length": "1"}, "sets itself"),
        ({"a b": "x"}, "another name"),
        ({"": "x"}, "another name"),
        ({"x" * 101: "x"}, "another name"),
        ({"X-Token": "secret\r\nHost: evil"}, "another value"),
        ({"X-Token": " secret"}, "another value"),
        ({"X-Token": "secret\n"}, "another value"),
        ({"X-Token": "secreté"}, "another value"),
        ({"X-Token": "secret" * 1000}, "another value"),
        ({"X-Token": "secret", "x-token": "secret"}, "each name once"),
        ({f"X-{number}": "secret" for number in range(21)}, "at most 20"),
    ],
)
async def test_headers_that_cannot_be_sent_are_refused_and_not_repeated(
    yard: Yard, headers: dict[str, str], told: str
) -> None:
    await yard.a_task()
    asked = CallbackRequest(url="https://a.example/", headers=headers)

    with pytest.raises(InputRefused, match=told) as refusal:
        await yard.a_run(callbacks=(asked,))

    assert "callbacks[0].headers" in refusal.value.detail
    assert "secret" not in refusal.value.detail


# ---------------------------------------------------------------- signatures


async def test_the_public_library_verifies_the_signature(yard: Yard) -> None:
    async with receiving(Answers()) as receiver:
        await an_ended_run(yard, receiver.url)
        [arrived] = await receiver.has(1)
        secrets = await yard.engine.callbacks.secrets(yard.company)

    signed = signed_now(arrived, secrets.current)
    Webhook(secrets.current).verify(arrived.body, signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets.current).verify(arrived.body + b" ", signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(b"x" * 32)).verify(arrived.body, signed)


def signed_now(arrived: Exchange, secret: str) -> dict[str, str]:
    """The headers that came, which were signed at the hand-turned clock's time: the library demands
    the machine's, so the same is signed again and compared first.
    """
    headers = {n: v for n, v in arrived.headers.items() if n.startswith("webhook-")}
    raw = Webhook(secret)._whsecret
    assert headers == signed_headers(headers["webhook-id"], BEGINNING, arrived.body, [raw])
    return dict(signed_headers(headers["webhook-id"], SystemClock().now(), arrived.body, [raw]))


async def test_two_secrets_sign_while_one_is_rotated(yard: Yard) -> None:
    before = await yard.engine.callbacks.secrets(yard.company)

    after = await yard.engine.callbacks.rotate(yard.company)

    assert before.previous is None
    assert after.current != before.current
    assert after.previous == before.current
    async with receiving(Answers()) as receiver:
        await an_ended_run(yard, receiver.url)
        [arrived] = await receiver.has(1)
    assert len(arrived.headers["webhook-signature"].split(" ")) == 2

    yard.clock.advance(timedelta(days=1))
    assert (await yard.engine.callbacks.secrets(yard.company)).previous is None


async def test_companies_have_secrets_of_their_own(yard: Yard) -> None:
    globex = await yard.engine.companies.create("globex")

    own = await yard.engine.callbacks.secrets(yard.company)
    other = await yard.engine.callbacks.secrets(globex)

    assert own.current != other.current


async def test_a_server_with_another_master_key_sends_nothing_and_says_so(store: Store) -> None:
    async with a_sender(store) as yard:
        await yard.a_task()
    keys = Keys(b"another")
    with listening() as heard:
        await keys.open(store)

    assert [event for event, _ in heard] == [MASTER_KEY_DIFFERS]
    with pytest.raises(WrongMasterKey):
        keys.demand_right()
    assert EngineSettings(server="x").master_key != b"another"


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("answer", ["500 Oops", "404 Not Found", "302 Found", "break off"])
async def test_a_callback_that_fails_is_sent_again_after_a_pause(yard: Yard, answer: str) -> None:
    async with receiving(Answers(answer)) as receiver:
        run = await an_ended_run(yard, receiver.url)
        callback = await until(yard, run, CallbackState.DUE, tries=1)
        assert callback.due_at == BEGINNING + FIRST_PAUSES[0]
        assert callback.detail

        yard.clock.advance(FIRST_PAUSES[0])
        first, second = await receiver.has(2)
        callback = await until(yard, run, CallbackState.DELIVERED)

    assert callback.tries == 2
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_pauses_grow_from_seconds_to_an_hour_and_then_it_is_over() -> None:
    pauses = [pause_after(tries, 0.5) for tries in range(1, MOST_TRIES + 1)]

    assert pauses[:4] == [*FIRST_PAUSES]
    assert set(pauses[4:-1]) == {LONGEST_PAUSE}
    assert pauses[-1] is None
    assert pause_after(1, 0.0) < FIRST_PAUSES[0] < pause_after(1, 0.99)


async def test_after_its_last_try_a_callback_is_dead_and_can_be_sent_again(yard: Yard) -> None:
    async with receiving(Answers(*["500 Oops"] * MOST_TRIES)) as receiver:
        run = await an_ended_run(yard, receiver.url)
        with listening() as heard:
            for tries in range(1, MOST_TRIES):
                await until(yard, run, CallbackState.DUE, tries=tries)
                yard.clock.advance(LONGEST_PAUSE)
            dead = await until(yard, run, CallbackState.DEAD)

        assert dead.tries == MOST_TRIES
        assert dead.detail == "its receiver answered 500"
        assert CALLBACK_DIED in [event for event, _ in heard]

        assert await yard.engine.callbacks.resend_dead(yard.company) == 1
        await until(yard, run, CallbackState.DELIVERED)


async def test_a_receiver_that_is_gone_for_good_is_believed(yard: Yard) -> None:
    async with receiving(Answers("410 Gone")) as receiver:
        run = await an_ended_run(yard, receiver.url)
        dead = await until(yard, run, CallbackState.DEAD)

    assert (dead.tries, dead.answered) == (1, 410)


async def test_a_busy_receiver_is_left_alone_for_as_long_as_it_asks(yard: Yard) -> None:
    async def busy(exchange: Exchange) -> None:
        await exchange.answer("429 Too Many Requests", Retry_After="600")

    async with receiving(busy) as receiver:
        run = await an_ended_run(yard, receiver.url)
        callback = await until(yard, run, CallbackState.DUE, tries=1)

    assert callback.due_at == BEGINNING + timedelta(seconds=600)


async def test_nobody_listening_is_a_failure_like_others(yard: Yard) -> None:
    async with receiving(Answers()) as receiver:
        pass
    run = await an_ended_run(yard, receiver.url)

    callback = await until(yard, run, CallbackState.DUE, tries=1)
    assert "cannot be reached" in callback.detail


async def test_a_name_that_leads_to_a_private_address_is_dead_at_once(store: Store) -> None:
    async with a_sender(store, allowed=Allowances()) as yard:
        run = await an_ended_run(yard, "http://localhost:9/")
        dead = await until(yard, run, CallbackState.DEAD)

    assert "rule: loopback" in dead.detail
    assert "allow_outbound" in dead.detail


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://10.0.0.1/", "rule: private"),
        ("ftp://example.com/", "http:// or https://"),
        ("https://user:password@example.com/", "password"),
        ("nonsense", "http:// or https://"),
    ],
)
async def test_an_address_that_is_wrong_as_it_stands_is_refused_at_the_start(
    yard: Yard, url: str, said: str
) -> None:
    await yard.a_task()

    with pytest.raises(InputRefused) as refused:
        await yard.a_run(callbacks=told("https://example.com/", url))

    [problem] = refused.value.problems
    assert problem.field == "callbacks[1].url"
    assert said in problem.allowed


async def test_a_run_has_at_most_so_many(yard: Yard) -> None:
    await yard.a_task()

    with pytest.raises(InputRefused, match="at most 10"):
        await yard.a_run(callbacks=told(*["https://example.com/"] * 11))


async def test_what_is_under_way_or_unknown_is_not_sent_again(yard: Yard) -> None:
    await yard.a_task()
    run = await yard.a_run(callbacks=told("https://example.com/"))
    callback = await callback_of(yard, run)

    with pytest.raises(CallbackNotReady, match="waiting"):
        await yard.engine.callbacks.resend(yard.company, str(callback.id))
    with pytest.raises(CallbackNotFound):
        await yard.engine.callbacks.resend(yard.company, "999999999")


# ---------------------------------------------------------------- several, slow, restarted


async def test_a_slow_receiver_keeps_nobody_waiting_but_itself(yard: Yard) -> None:
    let_go = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await let_go.wait()
        await exchange.answer()

    await yard.a_task()
    async with receiving(slow) as stuck, receiving(Answers()) as quick:
        for receiver, count in ((stuck, 2 * LANE_WIDTH + 10), (quick, 20)):
            for _ in range(count):
                run = await yard.a_run(callbacks=told(receiver.url))
                await yard.engine.runs.cancel(yard.company, str(run.id))
        await quick.has(20)
        await stuck.has(LANE_WIDTH)
        assert len(stuck.arrived) == LANE_WIDTH, "no more at once"
        let_go.set()
        await stuck.has(2 * LANE_WIDTH + 10)


async def test_a_receiver_that_does_not_answer_is_given_a_narrower_lane(yard: Yard) -> None:
    assert SLOW_LANE_WIDTH < LANE_WIDTH
    failing = Answers(*["break off"] * 1000)
    await yard.a_task()
    async with receiving(failing) as receiver:
        run = await an_ended_run(yard, receiver.url)
        await until(yard, run, CallbackState.DUE, tries=1)
        lanes = yard.engine._couriers._lanes

        assert all(lane.is_slow for lane in lanes.values())


async def test_what_waited_for_its_run_is_told_by_the_next_life_of_the_server(store: Store) -> None:
    clock = TurnedClock()
    async with receiving(Answers()) as receiver:
        async with opened_yard(store, clock) as yard:  # no way out
            run = await an_ended_run(yard, receiver.url)
            waiting = await yard.a_run(callbacks=told(f"{receiver.url}/waiting"))
            await until(yard, run, CallbackState.DUE, tries=1)
        async with a_sender(store, clock) as yard:
            clock.advance(FIRST_PAUSES[0])
            await receiver.has(1)
            await yard.engine.runs.cancel(yard.company, str(waiting.id))
            arrived = await receiver.has(2)

    assert [exchange.target for exchange in arrived] == ["/", "/waiting"]


async def test_what_a_dead_server_had_in_hand_is_sent_by_another(store: Store) -> None:
    clock = TurnedClock()
    async with receiving(Answers()) as receiver:
        async with opened_yard(store, clock) as yard:
            await yard.a_task()
            run = await yard.a_run(callbacks=told(receiver.url))
        await in_a_dead_hand(store, run, clock)
        async with a_sender(store, clock) as yard:
            if store.is_shared:  # it may still be alive: wait until its hold is over
                assert (await callback_of(yard, run)).state is CallbackState.SENDING
                clock.advance(HELD_FOR)
            await receiver.has(1)
            await until(yard, run, CallbackState.DELIVERED)


async def in_a_dead_hand(store: Store, run: Run, clock: TurnedClock) -> None:
    await store.runs.move(
        [
            Move(
                run_id=run.id,
                company_id=run.company_id,
                sources=(RunState.QUEUED,),
                state=RunState.CANCELLED,
                cause=Cause.CANCELLED,
                at=clock.now(),
            )
        ]
    )
    await store.callbacks.ripen([run.id], clock.now())
    [callback] = await store.callbacks.of_run(run.company_id, run.id)
    hold = CallbackHold(
        run_id=run.id, callback_id=callback.id, holder=-1, until=clock.now() + HELD_FOR
    )
    assert await store.callbacks.hold([hold], clock.now()) == [callback.id]


async def test_two_servers_send_each_callback_once(postgres_dsn: str, memory_path: Path) -> None:
    clock = TurnedClock()
    async with AsyncExitStack() as opened:
        receiver = await opened.enter_async_context(receiving(Answers()))
        stores = [await open_postgres(postgres_dsn, memory_path) for _ in range(2)]
        for store in stores:
            opened.push_async_callback(store.close)
        one = await opened.enter_async_context(a_sender(stores[0], clock))
        await one.a_task()
        async with a_sender(stores[1], clock, server="other"):
            for _ in range(60):
                run = await one.a_run(callbacks=told(receiver.url))
                await one.engine.runs.cancel(one.company, str(run.id))
                clock.advance(timedelta(seconds=1))
            arrived = await receiver.has(60)
            await until(one, run, CallbackState.DELIVERED)

    ids = [exchange.headers["webhook-id"] for exchange in arrived]
    assert len(ids) == len(set(ids))


async def test_what_was_under_way_is_put_back_when_the_server_stops(store: Store) -> None:
    clock = TurnedClock()

    async def silent(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with receiving(silent) as stuck:
        async with a_sender(store, clock) as yard:
            run = await an_ended_run(yard, stuck.url)
            await stuck.has(1)
        [callback] = await store.callbacks.of_run(run.company_id, run.id)

    assert callback.state is CallbackState.DUE
    assert callback.due_at == clock.now()
