"""One strict reading of web addresses, and what an operator allows beside the public ones.

Programs read odd URLs differently, and attacks live in the difference. So whatever is not written
in the plain way is refused here with what is wrong with it, and what is accepted is passed on in
parts, never as text that somebody else reads again.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Self
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import idna
import msgspec

from runyard.model.errors import AddressRefused
from runyard.outbound.networks import Address, Network

LONGEST: Final = 4096
"""Characters of an address."""
_PORTS: Final = {"http": 80, "https": 443}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9]\d{0,4}|0")
_KEPT_IN_TARGET = "/?:@!$&'()*+,;=-._~%[]|"
"""What stays as it is in path and query; percent signs too, for they are written already."""


class WebAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An http or https address, taken apart."""

    scheme: str
    host: str
    """A name in lower case and ASCII, or an IP address in its plain form, without brackets."""
    port: int
    target: str
    """Path and query as they are sent, ASCII."""

    @property
    def literal(self) -> Address | None:
        """The IP address, where the host is one."""
        return literal(self.host)

    @property
    def authority(self) -> str:
        """Host and port as the Host header shows them."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == _PORTS[self.scheme] else f"{shown}:{self.port}"

    @property
    def shown(self) -> str:
        """Scheme, host and port, for people; paths and queries may hold secrets."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return f"{self.shown}{self.target}"

    def is_same_origin(self, other: "WebAddress") -> bool:
        """Whether both lead to the same scheme, host and port."""
        return (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)


def read_address(text: str) -> WebAddress:
    """The address that this text is; raises AddressRefused with what is wrong with it."""
    if len(text) > LONGEST:
        raise AddressRefused(f"the address has {len(text):,} characters; at most {LONGEST:,}")
    for character in text:
        if character <= " " or character in '\\"<>^`{}' or character == "\x7f":
            raise AddressRefused(f"the address holds the character {character!r}")
    parts = _split(text)
    port = _port(parts)
    host = _host(parts)
    target = quote(parts.path or "/", safe=_KEPT_IN_TARGET)
    if parts.query:
        target += "?" + quote(parts.query, safe=_KEPT_IN_TARGET)
    return WebAddress(scheme=parts.scheme, host=host, port=port, target=target)


def read_redirect(at: WebAddress, location: str) -> WebAddress:
    """Where an answer at this address sends its reader; raises AddressRefused."""
    there = read_address(urljoin(str(at), location))
    if at.scheme == "https" and there.scheme == "http":
        raise AddressRefused(f"{at.shown} redirects from https to http ({there.shown})")
    return there


def literal(host: str) -> Address | None:
    """The IP address that this host is; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise AddressRefused(f"the address cannot be read: {error}") from None
    if parts.scheme not in _PORTS:
        seen = f"{parts.scheme}:" if parts.scheme else "no scheme"
        raise AddressRefused(f"the address must begin with http:// or https://, not {seen}")
    if not text[len(parts.scheme) :].startswith("://"):
        raise AddressRefused(f"the address must begin with {parts.scheme}://")
    if "@" in parts.netloc:
        raise AddressRefused("the address must not hold a user name or password (@)")
    return parts


def _port(parts: SplitResult) -> int:
    after = parts.netloc.rpartition("]")[2] if "[" in parts.netloc else parts.netloc
    _, colon, port = after.partition(":")
    if not colon:
        return _PORTS[parts.scheme]
    if not _PORT.fullmatch(port) or not port.isascii() or not 0 < int(port) < 65536:
        raise AddressRefused(f"port {port!r}; allowed: 1 to 65535")
    return int(port)


def _host(parts: SplitResult) -> str:
    netloc = parts.netloc
    if netloc.startswith("["):
        inside, closed, after = netloc[1:].partition("]")
        if not closed or (after and not after.startswith(":")):
            raise AddressRefused(f"{netloc!r} is no host")
        return _ipv6(inside)
    host = netloc.partition(":")[0]
    if not host:
        raise AddressRefused("the address names no host")
    return _ipv4(host) or _name(host)


def _ipv6(text: str) -> str:
    if "%" in text:
        raise AddressRefused(f"[{text}] names a zone; addresses of one network card are refused")
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise AddressRefused(f"[{text}] is no IPv6 address") from None


def _ipv4(host: str) -> str | None:
    """The host as an IPv4 address. Everything that some reader could take for one, but that is not
    written as four decimal numbers, is refused; so is one in other characters than ASCII's.
    """
    plain = _ascii(host).rstrip(".")
    if not _NUMBER.fullmatch(plain.rpartition(".")[2].lower()):
        return None
    try:
        if plain != host:
            raise ValueError
        return str(IPv4Address(plain))
    except ValueError:
        raise AddressRefused(
            f"host {host!r} ends in a number; an IPv4 address is four decimal numbers: 192.0.2.1"
        ) from None


def _name(host: str) -> str:
    name = _ascii(host).lower().removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise AddressRefused(f"{host!r} is no host name")
    return name


def _ascii(host: str) -> str:
    """The host as DNS knows it: other alphabets in their ASCII form, look-alike dots and digits as
    what they are.
    """
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise AddressRefused(f"{host!r} is no host name") from None


# ---------------------------------------------------------------- what is allowed beside


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """A host or network that may be visited although the rules say no."""

    host: str | None = None
    network: Network | None = None
    port: int | None = None
    """None: any."""

    def covers_host(self, host: str, port: int) -> bool:
        """Whether it names this host, whatever its address is."""
        return self.host == host and self.port in (None, port)

    def covers_address(self, address: Address, port: int) -> bool:
        """Whether this address is in its network."""
        return (
            self.network is not None
            and address.version == self.network.version
            and address in self.network
            and self.port in (None, port)
        )


class Allowances(msgspec.Struct, frozen=True):
    """All that an operator allows beside the public internet."""

    entries: tuple[Allowance, ...] = ()

    @classmethod
    def read(cls, texts: Iterable[str]) -> Self:
        """From texts as settings have them; raises ValueError naming the one that does not fit."""
        return cls(tuple(read_allowance(text) for text in texts))

    def cover_host(self, host: str, port: int) -> bool:
        """Whether this host may be visited whatever its address is."""
        return any(entry.covers_host(host, port) for entry in self.entries)

    def cover_address(self, address: Address, port: int) -> bool:
        """Whether this address may be visited although it is not public."""
        return any(entry.covers_address(address, port) for entry in self.entries)

    def __add__(self, other: "Allowances") -> "Allowances":
        return Allowances(self.entries + other.entries)


def read_allowance(text: str) -> Allowance:
    """One entry: a host, an address or a network, each with or without a port; raises ValueError."""
    refusal = ValueError(f"{text!r} is no host, address or network such as 10.1.0.0/16:443")
    host, port = _without_port(text.strip())
    if port is not None and not 0 < port < 65536:
        raise refusal
    try:
        return Allowance(network=ip_network(host), port=port)
    except ValueError:
        pass
    try:
        if "/" in host or _ipv4(host) is not None:
            raise refusal
        return Allowance(host=_name(host), port=port)
    except AddressRefused:
        raise refusal from None


def _without_port(text: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?", text)
    if bracketed is not None:
        return bracketed[1], None if bracketed[2] is None else int(bracketed[2])
    host, colon, port = text.rpartition(":")
    if colon and ":" not in host and re.fullmatch(r"[0-9]{1,5}", port):
        return host, int(port)
    return text, None
