"""`runyard deploy`: task code becomes versions of tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.text import Text

from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import console, print_json, print_table, remarks
from runyard.cli.signatures import signature

if TYPE_CHECKING:
    from runyard.sdk.client.shapes import DeployReport

CHANGE_STYLES = {"new": "green", "changed": "cyan", "unchanged": "dim", "withdrawn": "yellow"}


def deploy(
    path: Annotated[Path, Parameter(help="A Python file, or a folder with all code it needs.")],
    /,
    *,
    name: Annotated[
        str | None,
        Parameter(help="Of the bundle; that of the file or folder unless given."),
    ] = None,
    take_over: Annotated[
        bool, Parameter(help="Take tasks of these names from the bundle that has them.")
    ] = False,
    options: CompanyOptions = IN_COMPANY,
) -> None:
    """Deploy task code.

    A worker inspects it; broken code is refused with file, line and reason, and changes nothing.
    Tasks that the bundle no longer has are withdrawn.
    """
    from runyard.sdk.client import pack

    archive = pack(path)
    with connect_company(options) as client, remarks().status("Inspecting ...") as status:
        report = client.deploy(
            archive,
            name=name,
            take_over=take_over,
            on_line=lambda line: status.console.print(Text(line, "dim")),
        )
    if options.json:
        print_json(report)
    else:
        print_report(report)


def print_report(report: "DeployReport") -> None:
    """Prints the tasks of a bundle and what became of each."""
    print_table(
        ("Task", "", "Version", "Inputs", "Outputs"),
        (
            (
                deployed.task.name,
                Text(deployed.change, CHANGE_STYLES.get(deployed.change, "")),
                deployed.task.version,
                signature(deployed.task.inputs),
                signature(deployed.task.outputs),
            )
            for deployed in report.tasks
        ),
        empty="The bundle has no tasks.",
    )
    console().print(Text(f"Bundle {report.bundle}, {report.bundle_digest[:12]}", "dim"))
