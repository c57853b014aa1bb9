"""Files as inputs on the command line: uploaded, or fetched from an address."""

from pathlib import Path

from runyard.sdk.client import Client
from tests.cli.conftest import Command
from tests.cli.receivers import receiving


def test_a_file_is_uploaded_or_fetched(say: Command, client: Client, tmp_path: Path) -> None:
    local = tmp_path / "a.txt"
    local.write_text("local")
    with receiving() as receiver:
        for source in (f"@{local}", f"{receiver.url}/b.txt"):
            code, run = say("run", "start", "Copy", "-i", f"source={source}", "--wait")
            assert code == 0
        fetched = run

    copied = client.file_content(fetched["outputs"]["result"]["file"])
    assert copied == b"THIS IS /B.TXT"
    assert fetched["input"]["source"]["name"] == "b.txt"


def test_a_private_address_is_refused_with_the_setting_that_opens_it(say: Command) -> None:
    code, said = say("run", "start", "Copy", "-i", "source=http://10.0.0.1/x")

    assert code != 0
    assert "source" in said
    assert "rule: private" in said
    assert "allow_outbound" in said
