"""`runyard doctor`: whether an installation keeps its promises."""

from rich.text import Text

from runyard.cli.exits import DONE, FAILED
from runyard.cli.options import ANYWHERE, Options, connect
from runyard.cli.output import print_json, print_table


def doctor(*, options: Options = ANYWHERE) -> int:
    """Examine an installation: every check with what it found. Exit code 1 when one fails."""
    with connect(options) as client:
        diagnosis = client.doctor()
    if options.json:
        print_json(diagnosis)
    else:
        print_table(
            ("Check", "", "Found"),
            (
                (c.name, Text("ok", "green") if c.ok else Text("failed", "red"), c.detail)
                for c in diagnosis.checks
            ),
            empty="There is nothing to check.",
        )
    return DONE if diagnosis.ok else FAILED
