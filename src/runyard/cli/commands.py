"""Which commands there are. The page of all commands and the program are made from this table."""

import msgspec


class Command(msgspec.Struct, frozen=True):
    """A command or a group of commands."""

    name: str
    home: str
    """Where its code is found, loaded when the command is used."""
    summary: str
    examples: str = ""
    """Of a single command; the commands of a group have their own."""


SERVER = (
    Command(
        "serve",
        "runyard.cli.serve:serve",
        "Run a server, with a worker in it.",
        "Examples:\n"
        "  runyard serve --data ./runyard-data\n"
        "  runyard serve --database postgresql://runyard@db.example.org/runyard --slots 8\n"
        "  runyard serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem "
        "--public-url https://runyard.example.org",
    ),
    Command(
        "demo",
        "runyard.cli.demo:demo",
        "Show a server at work on real tasks.",
        "Examples:\n  runyard demo\n  DEMO_EXIT=1 runyard demo",
    ),
    Command(
        "doctor",
        "runyard.cli.doctor:doctor",
        "Examine an installation.",
        "Example:\n  runyard doctor --data ./runyard-data",
    ),
    Command("worker", "runyard.cli.workers:app", "Execute runs for a server, on any machine."),
    Command("db", "runyard.cli.database:app", "Look after the database."),
)
WORK = (
    Command(
        "deploy",
        "runyard.cli.deploy:deploy",
        "Deploy task code.",
        "Examples:\n"
        "  runyard deploy zip_code.py --company acme\n"
        "  runyard deploy ./tasks --company acme --name nightly --take-over",
    ),
    Command("task", "runyard.cli.tasks:app", "See and steer tasks."),
    Command("run", "runyard.cli.runs:app", "Start, follow and steer runs."),
    Command(
        "call",
        "runyard.cli.calls:call",
        "Execute a task now, in a warm child.",
        "Examples:\n"
        '  runyard call "Zip code" --company acme -i zip=76131\n'
        '  runyard call "Zip code" --company acme -i zip=76131 --durable --json',
    ),
    Command("allocation", "runyard.cli.allocations:app", "Keep tasks warm for calls."),
    Command("schedule", "runyard.cli.schedules:app", "Plan runs."),
    Command("callback", "runyard.cli.callbacks:app", "Tell other servers of ended runs."),
    Command("orchestrator", "runyard.cli.orchestrator:app", "Hold runs back, and let them go."),
)
ACCESS = (
    Command("company", "runyard.cli.companies:app", "Companies, the owners of everything."),
    Command("user", "runyard.cli.users:app", "Users, who sign in to the console."),
    Command("token", "runyard.cli.tokens:app", "Tokens, which programs present."),
    Command("system", "runyard.cli.systems:app", "Systems, which call in by a UUID."),
    Command("audit", "runyard.cli.audit:app", "Who has changed what, or signed in."),
)
GROUPS = (("Server", SERVER), ("Work", WORK), ("Access", ACCESS))
COMMANDS = (*SERVER, *WORK, *ACCESS)

HEAD = """\
Usage: runyard COMMAND

Deploys typed Python functions, runs them durably, and answers over HTTP.
"""
TAIL = """
Options:
  --help, -h    Show this page, or with a command its own.
  --version     Show the version.

A server is found by RUNYARD_URL and RUNYARD_TOKEN, or by --data DIR, its data folder.

Examples:
  runyard serve --data ./runyard-data
  runyard company create acme
  runyard deploy zip_code.py --company acme
  runyard run start "Zip code" --company acme -i zip=76131 --wait
"""


def overview() -> str:
    """The page of all commands."""
    parts = [HEAD]
    for title, commands in GROUPS:
        lines = (f"  {command.name:<13} {command.summary}\n" for command in commands)
        parts.append(f"\n{title}:\n" + "".join(lines))
    return "".join([*parts, TAIL])
