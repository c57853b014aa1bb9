"""What the client does with servers that mean it harm, on real sockets."""

import asyncio
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from runyard.model.errors import AddressRefused, OutboundFailed
from runyard.outbound.addresses import Allowances, read_address
from runyard.outbound.base import OutboundAnswer, OutboundLimits, OutboundRequest
from runyard.outbound.client import OutboundClient
from runyard.outbound.networks import Address
from tests.support.certificates import Authority
from tests.support.receiver import Exchange, Receiver, receiving

SHORT = timedelta(milliseconds=200)


class ScriptedNames:
    """Names whose addresses are what the test says next."""

    def __init__(self, *answers: str) -> None:
        self._answers = [answer.split(",") for answer in answers]
        self.asked: list[str] = []

    async def addresses(self, host: str) -> list[Address]:
        self.asked.append(host)
        texts = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(text) for text in texts]


async def hello(exchange: Exchange) -> None:
    await exchange.answer(body=b"hello")


async def asked(
    outbound: OutboundClient, url: str, limits: OutboundLimits | None = None, **more: object
) -> OutboundAnswer:
    request = OutboundRequest(
        address=read_address(url),
        limits=limits or OutboundLimits(),
        **more,  # type: ignore[arg-type]
    )
    return await outbound.send(request)


def opened(receiver: Receiver) -> OutboundClient:
    return OutboundClient(Allowances.read([receiver.allowance]))


async def test_a_request_arrives_as_it_was_written_and_its_answer_comes_back() -> None:
    async with receiving(hello) as receiver, opened(receiver) as outbound:
        answer = await asked(
            outbound,
            f"{receiver.url}/a?b=c",
            method="POST",
            body=b"body",
            headers={"Content-Type": "text/plain"},
        )

    [arrived] = receiver.arrived
    assert (answer.status_code, answer.body) == (200, b"hello")
    assert (arrived.method, arrived.target, arrived.body) == ("POST", "/a?b=c", b"body")
    assert arrived.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert arrived.headers["content-type"] == "text/plain"
    assert set(arrived.headers) == {
        "host", "accept", "accept-encoding", "content-type", "content-length"
    }  # fmt: skip


async def test_connections_are_kept_and_cookies_are_not() -> None:
    async def with_cookie(exchange: Exchange) -> None:
        await exchange.answer(Set_Cookie="a=b")

    async with receiving(with_cookie) as receiver, opened(receiver) as outbound:
        for _ in range(3):
            await asked(outbound, receiver.url)

    assert receiver.connections == 1
    assert all("cookie" not in exchange.headers for exchange in receiver.arrived)


async def test_nothing_connects_to_what_is_not_allowed() -> None:
    async with receiving(hello) as receiver, OutboundClient(Allowances()) as outbound:
        with pytest.raises(AddressRefused, match="rule: loopback"):
            await asked(outbound, receiver.url)

    assert receiver.connections == 0


async def test_the_name_of_this_machine_is_no_way_around() -> None:
    async with receiving(hello) as receiver, OutboundClient(Allowances()) as outbound:
        with pytest.raises(AddressRefused, match=r"localhost has the address .* \(rule: loopback"):
            await asked(outbound, f"http://localhost:{receiver.port}/")

    assert receiver.connections == 0


async def test_a_name_that_changes_its_address_is_judged_again_and_connected_as_judged() -> None:
    names = ScriptedNames("127.0.0.1", "127.0.0.2")

    async def once(exchange: Exchange) -> None:
        await exchange.answer(Connection="close")

    async with receiving(once) as receiver:
        allowed = Allowances.read([receiver.allowance])
        async with OutboundClient(allowed, names=names) as outbound:
            await asked(outbound, f"http://turning.example:{receiver.port}/")
            assert names.asked == ["turning.example"], "one look, and the connection goes there"

            with pytest.raises(
                AddressRefused, match=r"turning.example has the address 127\.0\.0\.2"
            ):
                await asked(outbound, f"http://turning.example:{receiver.port}/")

    assert names.asked == ["turning.example"] * 2
    assert [exchange.headers["host"] for exchange in receiver.arrived] == [
        f"turning.example:{receiver.port}"
    ]


async def test_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    names = ScriptedNames("93.184.216.34,10.0.0.1")

    async with OutboundClient(Allowances(), names=names) as outbound:
        with pytest.raises(AddressRefused, match="rule: private"):
            await asked(outbound, "http://two-faced.example/")


async def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer() -> None:
    names = ScriptedNames("127.0.0.2,127.0.0.1")

    async with receiving(hello) as receiver:
        allowed = Allowances.read([f"127.0.0.0/8:{receiver.port}"])
        async with OutboundClient(allowed, names=names) as outbound:
            answer = await asked(outbound, f"http://two.example:{receiver.port}/")

    assert answer.body == b"hello"


async def test_an_allowed_host_may_be_anywhere() -> None:
    names = ScriptedNames("127.0.0.1")

    async with receiving(hello) as receiver:
        allowed = Allowances.read([f"intranet.example:{receiver.port}"])
        async with OutboundClient(allowed, names=names) as outbound:
            answer = await asked(outbound, f"http://intranet.example:{receiver.port}/")
            with pytest.raises(AddressRefused):
                await asked(outbound, f"http://other.example:{receiver.port}/")

    assert answer.body == b"hello"


async def test_what_one_request_may_visit_opens_nothing_for_the_next() -> None:
    async with receiving(hello) as receiver, OutboundClient(Allowances()) as outbound:
        extra = Allowances.read([receiver.allowance])
        answer = await asked(outbound, receiver.url, allowed=extra)
        with pytest.raises(AddressRefused):
            await asked(outbound, receiver.url)

    assert answer.body == b"hello"


# ---------------------------------------------------------------- redirects


async def redirected(location: str, limits: OutboundLimits, **headers: str) -> list[Exchange]:
    async def redirecting(exchange: Exchange) -> None:
        if exchange.target == "/there":
            await exchange.answer(body=b"arrived")
        else:
            await exchange.answer("302 Found", Location=location.format(url=receiver.url))

    async with receiving(redirecting) as receiver, opened(receiver) as outbound:
        await asked(outbound, f"{receiver.url}/here", limits, headers=headers)
    return receiver.arrived


FOLLOWING = OutboundLimits(redirects=3)


async def test_a_redirect_is_followed_where_that_was_asked_for() -> None:
    arrived = await redirected("/there", FOLLOWING, Authorization="secret")

    assert [exchange.target for exchange in arrived] == ["/here", "/there"]
    assert arrived[1].headers["authorization"] == "secret", "the same origin"


async def test_a_redirect_is_an_answer_like_others_where_it_was_not() -> None:
    arrived = await redirected("/there", OutboundLimits())

    assert [exchange.target for exchange in arrived] == ["/here"]


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("http://169.254.169.254/latest/meta-data/", "cloud metadata"),
        ("http://127.0.0.1:1/", "loopback"),
        ("http://[::ffff:10.0.0.1]/", "IPv4-mapped"),
        ("//localhost:1/", "loopback"),
        ("http://2130706433/", "ends in a number"),
        ("file:///etc/passwd", "file:"),
        ("http://user@127.0.0.1/", "@"),
    ],
)
async def test_a_redirect_is_judged_like_a_first_address(location: str, rule: str) -> None:
    with pytest.raises(AddressRefused, match=rule):
        await redirected(location, FOLLOWING)


async def test_redirects_end() -> None:
    with pytest.raises(OutboundFailed, match="redirects more than 3 times"):
        await redirected("/again", FOLLOWING)


async def test_a_redirect_elsewhere_gets_no_credentials() -> None:
    async def redirecting(exchange: Exchange) -> None:
        await exchange.answer("307 Temporary Redirect", Location=f"{there.url}/there")

    async with receiving(hello) as there, receiving(redirecting) as here:
        allowed = Allowances.read([here.allowance, there.allowance])
        async with OutboundClient(allowed) as outbound:
            await asked(outbound, here.url, FOLLOWING, headers={"Authorization": "x", "X-Y": "z"})

    [arrived] = there.arrived
    assert "authorization" not in arrived.headers
    assert arrived.headers["x-y"] == "z"


# ---------------------------------------------------------------- time, size, pace


async def failing(answering: object, limits: OutboundLimits) -> str:
    async with receiving(answering) as receiver, opened(receiver) as outbound:  # type: ignore[arg-type]
        with pytest.raises(OutboundFailed) as failed:
            await asked(outbound, receiver.url, limits)
    return failed.value.detail


async def test_an_endless_body_ends_at_the_limit() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await exchange.write(bytes(64 * 1024))

    assert "more than 1,000,000 bytes" in await failing(endless, OutboundLimits(size=1_000_000))


async def test_a_body_announced_too_large_is_not_read() -> None:
    async def huge(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await asyncio.Event().wait()

    assert "has 99,999,999,999 bytes; at most 1,000" in await failing(
        huge, OutboundLimits(size=1_000)
    )


async def test_a_body_that_drips_ends_with_the_time() -> None:
    async def dripping(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        while True:
            await exchange.write(b".")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    assert "takes longer than 0.2 s" in await failing(dripping, OutboundLimits(total=SHORT))


async def test_headers_that_drip_end_with_the_time() -> None:
    async def dripping(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            await exchange.write(b"A: b\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    assert "takes longer than 0.2 s" in await failing(dripping, OutboundLimits(total=SHORT))


async def test_a_body_below_its_pace_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runyard.outbound.client._GRACE_SECONDS", 0.05)

    async def crawling(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await exchange.write(b".")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    assert "at least 100,000" in await failing(crawling, OutboundLimits(pace=100_000))


async def test_silence_is_not_waited_for() -> None:
    async def silent(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    assert "is silent for 0.2 s" in await failing(silent, OutboundLimits(pause=SHORT))


async def test_a_head_without_end_is_given_up() -> None:
    async def talking(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            await exchange.write(b"A: " + b"b" * 8192 + b"\r\n")

    assert "breaks off" in await failing(talking, OutboundLimits())


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-OpenSSH\r\n", b"\x00" * 100, b"HTTP/1.1 abc OK\r\n\r\n"]
)
async def test_what_is_not_http_is_told_as_such(said: bytes) -> None:
    async def other(exchange: Exchange) -> None:
        await exchange.write(said)
        exchange.writer.close()

    assert "breaks off" in await failing(other, OutboundLimits())


async def test_a_body_that_breaks_off_is_not_taken_for_whole() -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        exchange.writer.close()

    assert "breaks off" in await failing(half, OutboundLimits())


async def test_a_compressed_body_does_not_unfold_here() -> None:
    async def packed(exchange: Exchange) -> None:
        await exchange.answer(body=b"\x1f\x8b", Content_Encoding="gzip")

    assert "encoded as 'gzip'" in await failing(packed, OutboundLimits())


async def test_nobody_there_is_told() -> None:
    async with receiving(hello) as receiver:
        pass
    async with opened(receiver) as outbound:
        with pytest.raises(OutboundFailed, match="cannot be reached"):
            await asked(outbound, receiver.url)


async def test_a_name_that_nobody_knows_is_told() -> None:
    async with OutboundClient(Allowances()) as outbound:
        with pytest.raises(
            OutboundFailed, match=r"the name 'no\.such\.invalid' cannot be looked up"
        ):
            await asked(outbound, "http://no.such.invalid/")


async def test_a_request_that_is_given_up_leaves_room_for_others() -> None:
    async def silent(exchange: Exchange) -> None:
        if exchange.target == "/silent":
            await asyncio.Event().wait()
        await exchange.answer()

    async with receiving(silent) as receiver, opened(receiver) as outbound:
        limits = OutboundLimits(total=timedelta(milliseconds=50))
        given_up = [asked(outbound, f"{receiver.url}/silent", limits) for _ in range(300)]
        outcomes = await asyncio.gather(*given_up, return_exceptions=True)
        answer = await asked(outbound, receiver.url)

    assert {type(outcome) for outcome in outcomes} == {OutboundFailed}
    assert answer.status_code == 200


# ---------------------------------------------------------------- TLS


async def over_tls(tmp_path: Path, certified: str, visited: str, lasting: timedelta) -> str:
    """The Host header that a server with this certificate got."""
    authority = Authority(tmp_path)
    names = ScriptedNames("127.0.0.1")
    async with receiving(hello, authority.server(certified, lasting)) as receiver:
        allowed = Allowances.read([receiver.allowance])
        async with OutboundClient(allowed, names=names, trust=authority.trusted()) as outbound:
            await asked(outbound, f"https://{visited}:{receiver.port}/")
    return receiver.arrived[0].headers["host"].partition(":")[0]


LONG = timedelta(days=36_500)


async def test_tls_speaks_to_the_name_although_it_connects_to_the_address(tmp_path: Path) -> None:
    assert await over_tls(tmp_path, "right.example", "right.example", LONG) == "right.example"


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutboundFailed, match=r"cannot be reached: .*certificate"):
        await over_tls(tmp_path, "wrong.example", "right.example", LONG)


async def test_a_certificate_that_is_over_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutboundFailed, match="certificate has expired"):
        await over_tls(tmp_path, "right.example", "right.example", timedelta(days=1))


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    server = Authority(tmp_path).server("127.0.0.1")

    async with receiving(hello, server) as receiver, opened(receiver) as outbound:
        with pytest.raises(OutboundFailed, match="certificate verify failed"):
            await asked(outbound, receiver.url)


async def test_a_server_that_answers_no_tls_is_given_up_in_time() -> None:
    async with receiving(hello) as receiver, opened(receiver) as outbound:
        with pytest.raises(OutboundFailed, match="takes longer"):
            await asked(
                outbound, f"https://127.0.0.1:{receiver.port}/", OutboundLimits(total=3 * SHORT)
            )
