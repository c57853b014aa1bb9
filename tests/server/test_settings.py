"""What the operator chose, and what is said when it does not fit."""

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from runyard.server.settings import Settings, SettingsRefused, read_settings
from runyard.surroundings import tool_variables
from runyard.web.schemas import field_descriptions
from tools.settings_page import PAGE, page


def test_nothing_chosen_is_a_server_that_only_this_machine_reaches() -> None:
    settings = read_settings({}, {})

    assert (settings.host, settings.port) == ("127.0.0.1", 7070)
    assert settings.database is None


def test_the_environment_is_read_and_what_is_given_goes_first(tmp_path: Path) -> None:
    environ = {
        "RUNYARD_PORT": "8080",
        "RUNYARD_LEASE": "5s",
        "RUNYARD_TRUST_PROXY": "10.0.0.0/8, ::1/128",
        "RUNYARD_SLOTS": "3",
        "RUNYARD_ALLOW_OUTBOUND": "intranet.example:8443, 10.1.0.0/16:443, [::1]:80",
    }

    settings = read_settings({"port": "9090", "data": tmp_path, "slots": None}, environ)

    assert settings.port == 9090
    assert settings.lease == timedelta(seconds=5)
    assert settings.trust_proxy == ("10.0.0.0/8", "::1/128")
    assert settings.data == tmp_path
    assert settings.slots == 3
    assert settings.allow_outbound == ("intranet.example:8443", "10.1.0.0/16:443", "[::1]:80")


def test_all_that_does_not_fit_is_told_at_once() -> None:
    environ = {
        "RUNYARD_PORT": "http",
        "RUNYARD_LEASE": "soon",
        "RUNYARD_DATABASE": "mysql://x",
        "RUNYARD_PUBLIC_URL": "runyard.example.com",
        "RUNYARD_TRUST_PROXY": "proxy",
        "RUNYARD_TLS_CERT": "/no/such/file",
        "RUNYARD_LOG_FORMAT": "xml",
        "RUNYARD_BODY_LIMIT": "0",
        "RUNYARD_ALLOW_OUTBOUND": "intranet.example:8443, 10.1.0.1/16",
    }

    with pytest.raises(SettingsRefused) as refused:
        read_settings({"slots": -1}, environ)

    assert {problem.field for problem in refused.value.problems} == {*environ, "slots"}
    assert all(problem.allowed for problem in refused.value.problems)


@pytest.mark.parametrize("lease", ["900ms", "0.5s", "25h"])
def test_a_lease_in_which_no_worker_can_give_signs_of_life_is_refused(lease: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        read_settings({}, {"RUNYARD_LEASE": lease})

    [problem] = refused.value.problems
    assert (problem.field, problem.seen) == ("RUNYARD_LEASE", lease)
    assert problem.allowed.startswith("1s to 1d")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_other_machines_are_let_in_only_with_tls_or_a_proxy(host: str, tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    certificate.touch()

    with pytest.raises(SettingsRefused, match="host"):
        read_settings({"host": host}, {})

    assert read_settings({"host": host, "trust_proxy": "10.0.0.0/8"}, {}).host == host
    tls = {"tls_cert": str(certificate), "tls_key": str(certificate)}
    assert read_settings({"host": host, **tls}, {}).scheme == "https"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_this_machine_needs_neither(host: str) -> None:
    assert read_settings({"host": host}, {}).host == host


def test_certificate_and_key_go_together(tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    certificate.touch()

    with pytest.raises(SettingsRefused, match="tls_key"):
        read_settings({"tls_cert": str(certificate)}, {})


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("1.5 s", timedelta(seconds=1.5)),
        ("2m", timedelta(minutes=2)),
        ("3h", timedelta(hours=3)),
        ("1d", timedelta(days=1)),
    ],
)
def test_durations_have_units(text: str, duration: timedelta) -> None:
    assert read_settings({"drain": text}, {}).drain == duration


@pytest.mark.parametrize("text", ["30", "0s", "-5s", "5 weeks", "s"])
def test_a_duration_without_a_unit_or_length_is_refused(text: str) -> None:
    with pytest.raises(SettingsRefused, match="drain"):
        read_settings({"drain": text}, {})


def test_tools_see_nothing_of_runyard() -> None:
    environ = {"RUNYARD_TOKEN": "x", "UV_CACHE_DIR": "/c", "PATH": "/bin", "DATABASE_PASSWORD": "p"}

    assert tool_variables(environ) == {"UV_CACHE_DIR": "/c", "PATH": "/bin"}


def test_every_setting_is_described() -> None:
    assert set(field_descriptions(Settings)) == {field.name for field in fields(Settings)}


def test_the_page_of_settings_is_current() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"
