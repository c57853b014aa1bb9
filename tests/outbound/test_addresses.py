"""How addresses are read, and which of them may not be visited."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.model.errors import AddressRefused
from runyard.outbound.addresses import (
    LONGEST,
    Allowances,
    read_address,
    read_allowance,
    read_redirect,
)
from runyard.outbound.client import OutboundClient
from runyard.outbound.networks import rule_against

PLAIN = {
    "http://example.com": "http://example.com/",
    "https://example.com:443/a?b=c#d": "https://example.com/a?b=c",
    "HTTP://EXAMPLE.com:8080/A": "http://example.com:8080/A",
    "https://bücher.example/straße?q=ü": "https://xn--bcher-kva.example/stra%C3%9Fe?q=%C3%BC",
    "https://example.com./x": "https://example.com/x",
    "https://example.com/a%20b?c=%2F%2f": "https://example.com/a%20b?c=%2F%2f",
    "http://93.184.216.34:81/": "http://93.184.216.34:81/",
    "http://[2606:2800:0220:0001:0248:1893:25C8:1946]/": (
        "http://[2606:2800:220:1:248:1893:25c8:1946]/"
    ),
    "https://_dmarc.example.com/?": "https://_dmarc.example.com/",
    "https://example.com/?uid=1&url=http://other/": "https://example.com/?uid=1&url=http://other/",
}

# Each hides an address that must not be visited, or is read one way here and another way there.
HOSTILE = {
    # loopback and friends, plainly
    "http://127.0.0.1/": "loopback",
    "http://127.8.9.10:8080/": "loopback",
    "http://0.0.0.0/": "unspecified",
    "http://0.1.2.3/": "unspecified",
    "http://10.0.0.1/": "private",
    "http://172.16.0.1/": "private",
    "http://172.31.255.255/": "private",
    "http://192.168.1.1/": "private",
    "http://100.64.0.1/": "carrier-grade NAT",
    "http://169.254.10.10/": "link-local",
    "http://198.18.0.1/": "benchmarking",
    "http://192.0.2.1/": "documentation",
    "http://192.88.99.1/": "6to4",
    "http://192.0.0.8/": "reserved",
    "http://224.0.0.1/": "multicast",
    "http://239.255.255.250:1900/": "multicast",
    "http://240.0.0.1/": "reserved",
    "http://255.255.255.255/": "broadcast",
    # what clouds tell their machines
    "http://169.254.169.254/latest/meta-data/": "cloud metadata",
    "http://169.254.170.2/v2/credentials": "cloud metadata",
    "http://100.100.100.200/": "cloud metadata",
    "http://168.63.129.16/": "cloud metadata",
    "http://192.0.0.192/opc/v2/": "cloud metadata",
    "http://[fd00:ec2::254]/": "cloud metadata",
    # IPv6
    "http://[::1]/": "loopback",
    "http://[0:0:0:0:0:0:0:1]/": "loopback",
    "http://[::]/": "unspecified",
    "http://[fe80::1]/": "link-local",
    "http://[fc00::1]/": "private",
    "http://[fd12:3456::1]/": "private",
    "http://[fec0::1]/": "site-local",
    "http://[ff02::1]/": "multicast",
    "http://[2001:db8::1]/": "documentation",
    "http://[2001:0:53aa:64c::1]/": "Teredo",
    "http://[4000::1]/": "reserved",
    # IPv4 inside IPv6
    "http://[::ffff:127.0.0.1]/": "IPv4-mapped",
    "http://[::ffff:7f00:1]/": "IPv4-mapped",
    "http://[::ffff:169.254.169.254]/": "IPv4-mapped",
    "http://[::ffff:93.184.216.34]/": "IPv4-mapped",
    "http://[::127.0.0.1]/": "IPv4-compatible",
    "http://[::ffff:0:127.0.0.1]/": "IPv4-translated",
    "http://[64:ff9b::7f00:1]/": "NAT64",
    "http://[64:ff9b:1::a00:1]/": "NAT64",
    "http://[2002:7f00:1::]/": "6to4",
    # other spellings of numbers
    "http://2130706433/": "ends in a number",
    "http://017700000001/": "ends in a number",
    "http://0x7f000001/": "ends in a number",
    "http://0x7f.1/": "ends in a number",
    "http://0177.0.0.1/": "ends in a number",
    "http://127.0.0.01/": "ends in a number",
    "http://127.1/": "ends in a number",
    "http://127.0.1/": "ends in a number",
    "http://0/": "ends in a number",
    "http://127.0.0.1./": "ends in a number",
    "http://127.0.0.0x1/": "ends in a number",
    "http://256.256.256.256/": "ends in a number",
    "http://1.2.3.4.5/": "ends in a number",
    # other characters
    "http://127\u30020\u30020\u30021/": "ends in a number",
    "http://127\uff0e0\uff0e0\uff0e1/": "ends in a number",
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/": "ends in a number",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/": "ends in a number",
    "http://ex\u00adample.com\u2044@127.0.0.1/": "@",
    "http://%31%32%37.0.0.1/": "ends in a number",
    "http://localho%73t/": "no host name",
    # names and passwords, and whatever else moves the host about
    "http://example.com@127.0.0.1/": "@",
    "http://user:secret@example.com/": "@",
    "http://example.com:80@127.0.0.1:81/": "@",
    "http://@example.com/": "@",
    "http://example.com\\@127.0.0.1/": "character",
    "http://example.com\t.evil/": "character",
    "http://exam\nple.com/": "character",
    " http://example.com/": "character",
    "http://example.com/ HTTP/1.1": "character",
    "http://[::1%25eth0]/": "zone",
    "http://[fe80::1%eth0]/": "zone",
    "http://[v1.fe80::1]/": "",
    "http://[::1]x:80/": "",
    "http://[127.0.0.1]/": "",
    "http://[]/": "",
    "http://[::1/": "",
    "http://::1/": "",
    "http://example.com:/": "port",
    "http://example.com:0/": "port",
    "http://example.com:65536/": "port",
    "http://example.com:-1/": "port",
    "http://example.com:80:81/": "port",
    "http://example.com:٨٠/": "port",
    "http:///etc/passwd": "no host",
    "http:/example.com/": "http://",
    "http:example.com": "http://",
    "//example.com/": "no scheme",
    "example.com": "no scheme",
    "": "no scheme",
    "file:///etc/passwd": "file:",
    "ftp://example.com/": "ftp:",
    "gopher://127.0.0.1:6379/_FLUSHALL": "gopher:",
    "unix:///var/run/docker.sock": "unix:",
    "javascript:alert(1)": "javascript:",
    "http://-example.com/": "no host name",
    "http://exa mple.com/": "character",
    "http://a..b/": "no host name",
    f"http://{'a' * 64}.com/": "no host name",
    f"http://example.com/{'a' * LONGEST}": "characters",
}


@pytest.mark.parametrize(("text", "meant"), PLAIN.items())
def test_a_plain_address_is_read_in_one_way(text: str, meant: str) -> None:
    address = read_address(text)

    assert str(address) == meant
    assert read_address(meant) == address


@pytest.mark.parametrize(("text", "said"), HOSTILE.items(), ids=ascii)
def test_a_hostile_address_is_refused_and_told_why(text: str, said: str) -> None:
    outbound = OutboundClient(Allowances())

    with pytest.raises(AddressRefused) as refused:
        outbound.refuse(read_address(text))

    assert said in refused.value.detail


def test_a_refusal_names_the_address_the_rule_and_the_setting() -> None:
    outbound = OutboundClient(Allowances())

    with pytest.raises(AddressRefused) as refused:
        outbound.refuse(read_address("http://10.1.2.3:8080/x"))

    assert refused.value.detail == (
        "10.1.2.3 may not be visited (rule: private); the operator can allow it with the setting "
        "allow_outbound, such as --allow-outbound 10.1.2.3:8080"
    )


@given(text=st.one_of(st.text(), st.from_regex(r"https?://[^/]{0,30}(/.{0,20})?")))
def test_what_is_accepted_is_ascii_and_reads_the_same_again(text: str) -> None:
    try:
        address = read_address(text)
    except AddressRefused:
        return

    assert str(address).isascii()
    assert read_address(str(address)) == address


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_for_us_and_private_for_the_library(address: object) -> None:
    found = ip_address(str(address))

    if not found.is_global or found.is_multicast:
        assert rule_against(found) is not None


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_public_for_us_and_private_for_the_library(address: object) -> None:
    found = ip_address(str(address))

    if not found.is_global or found.is_multicast or found.is_reserved:
        assert rule_against(found) is not None


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::200e"])
def test_a_public_address_is_public(text: str) -> None:
    assert rule_against(ip_address(text)) is None


def test_a_redirect_is_read_against_the_address_it_comes_from() -> None:
    at = read_address("https://example.com:8443/a/b?c")

    assert str(read_redirect(at, "../d?e")) == "https://example.com:8443/d?e"
    assert str(read_redirect(at, "//other.example/x")) == "https://other.example/x"


def test_a_redirect_never_gives_up_tls() -> None:
    with pytest.raises(AddressRefused, match="from https to http"):
        read_redirect(read_address("https://example.com/"), "http://example.com/")


@pytest.mark.parametrize(
    ("entry", "covered", "not_covered"),
    [
        ("127.0.0.1", "http://127.0.0.1:81/", "http://127.0.0.2/"),
        ("127.0.0.1:81", "http://127.0.0.1:81/", "http://127.0.0.1:82/"),
        ("10.1.0.0/16", "https://10.1.2.3/", "https://10.2.0.0/"),
        ("10.1.0.0/16:443", "https://10.1.2.3/", "http://10.1.2.3/"),
        ("::1", "http://[::1]:81/", "http://[fc00::1]/"),
        ("[::1]:81", "http://[::1]:81/", "http://[::1]:82/"),
        ("[fd00::/8]:443", "https://[fd12::1]/", "http://[fd12::1]/"),
        ("fd00::/8", "https://[fd12::1]/", "https://[fc00::1]/"),
    ],
)
def test_an_operator_opens_what_an_entry_says_and_no_more(
    entry: str, covered: str, not_covered: str
) -> None:
    outbound = OutboundClient(Allowances.read([entry]))

    outbound.refuse(read_address(covered))

    with pytest.raises(AddressRefused):
        outbound.refuse(read_address(not_covered))


@pytest.mark.parametrize(
    "entry", ["", "10.0.0.1/8", "10.0.0.0/8:0", "host:99999", "a b", "http://x/", "127.1", "x/8"]
)
def test_an_entry_that_could_mean_anything_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="no host, address or network"):
        read_allowance(entry)
