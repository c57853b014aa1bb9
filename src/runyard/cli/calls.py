"""`runyard call`: execute a task now."""

from typing import Annotated

from cyclopts import Parameter

from runyard.cli.exits import DONE, FAILED
from runyard.cli.options import IN_COMPANY, CompanyOptions, connect_company
from runyard.cli.output import console, print_json, remarks, shown_duration, state_text
from runyard.cli.tasks import TaskRef
from runyard.cli.values import NO_INPUT, Inputs


def call(
    task: TaskRef,
    /,
    *,
    inputs: Inputs = NO_INPUT,
    durable: Annotated[
        bool, Parameter(help="Answer only once the call is on disk.", negative="")
    ] = False,
    options: CompanyOptions = IN_COMPANY,
) -> int:
    """Execute a task that is kept warm, and print its outputs; exit code 1 when it fails.

    `runyard allocation create TASK` keeps it warm.
    """
    with connect_company(options) as client:
        called = client.call(task, inputs.chosen(client, task), durable=durable)
    if called.answer is None:
        if options.json:
            print_json(called.run)
        elif called.run is not None:
            console().print(f"No child was free: the call became run {called.run.id}.")
        return DONE
    answer = called.answer
    if options.json:
        print_json(answer)
    else:
        print_json(answer.outputs)
        took = "" if answer.duration is None else f" in {shown_duration(answer.duration)}"
        remarks().print(state_text(answer.state), f"{took} (run {answer.id})", sep="", style="dim")
        if answer.error is not None:
            remarks().print(f"{answer.error.kind}: {answer.error.message}")
    return DONE if answer.has_succeeded else FAILED
