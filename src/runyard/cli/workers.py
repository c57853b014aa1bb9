"""`runyard worker`: be a worker, and see and steer the workers that there are."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from runyard.cli.options import IN_COMPANY, CompanyOptions, connect
from runyard.cli.output import console, print_json, print_table
from runyard.cli.working import work

if TYPE_CHECKING:
    from runyard.sdk.client import Client
    from runyard.sdk.client.shapes import Worker

app = App(
    name="worker",
    help="Execute runs for a server, and see and steer the workers that do.",
    help_epilogue="Examples:\n"
    "  runyard worker --server https://runyard.example.org --token-file worker.token\n"
    "  runyard worker --server http://127.0.0.1:7070 --slots 8 --label gpu --name host-17",
)
app.default(work)

Which = Annotated[str, Parameter(name="WORKER", help="Its name or id, from `worker list`.")]


@app.command(name="list", help_epilogue="Example:\n  runyard worker list --company acme")
def list_workers(*, options: CompanyOptions = IN_COMPANY) -> None:
    """List the workers: of the whole installation, or those that serve a company."""
    with _client(options) as client:
        workers = client.workers()
    if options.json:
        print_json(workers)
        return
    print_table(
        ("Id", "Name", "Company", "State", "Online", "Busy", "Labels", "Host", "Version", "Seen"),
        (
            (
                worker.id,
                worker.name,
                worker.company or "all",
                _state(worker),
                "yes" if worker.online else "no",
                f"{worker.busy}/{worker.slots}",
                ", ".join(worker.labels),
                " ".join(filter(None, (worker.host, worker.address))),
                worker.version,
                "now" if worker.online else worker.last_seen_at,
            )
            for worker in workers
        ),
        empty="There are no workers.",
    )


@app.command(help_epilogue="Example:\n  runyard worker allow host-17 --company acme")
def allow(worker: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Let a worker execute runs, from now on. It drains no longer."""
    with _client(options) as client:
        _print(client.allow_worker(worker), options)


@app.command(help_epilogue="Example:\n  runyard worker lock host-17 --company acme")
def lock(worker: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Keep a worker out. If it is connected it is sent away, and its runs go to others."""
    with _client(options) as client:
        _print(client.lock_worker(worker), options)


@app.command(help_epilogue="Example:\n  runyard worker drain host-17 --company acme")
def drain(worker: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Give a worker nothing more until it is allowed again. What has begun there goes on."""
    with _client(options) as client:
        _print(client.drain_worker(worker), options)


@app.command(help_epilogue="Example:\n  runyard worker remove host-17 --company acme")
def remove(worker: Which, /, *, options: CompanyOptions = IN_COMPANY) -> None:
    """Forget a worker. When it comes again it has to be allowed."""
    with _client(options) as client:
        client.remove_worker(worker)
    if options.json:
        print_json({"worker": worker, "removed": True})
    else:
        console().print(f"Worker {worker} is removed.")


def _client(options: CompanyOptions) -> "Client":
    """Of a company when one is named, else of the installation."""
    client = connect(options)
    client.company = options.company
    return client


def _state(worker: "Worker") -> str:
    return f"{worker.state}, draining" if worker.draining else worker.state


def _print(worker: "Worker", options: CompanyOptions) -> None:
    if options.json:
        print_json(worker)
        return
    held = f"; it holds {worker.busy} runs" if worker.busy else ""
    console().print(f"Worker {worker.name} is {_state(worker)}{held}.")
