"""What the demo does with its server, one chapter after the other."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any

import httpx
from msgspec import UNSET
from rich.rule import Rule
from rich.text import Text

from runyard.cli.demo_outside import Outside, is_signed
from runyard.cli.demo_screen import Screen
from runyard.cli.deploy import print_report
from runyard.cli.following import follow
from runyard.cli.output import console, print_table
from runyard.model.errors import InputRefused, RunyardError
from runyard.model.states import RunState
from runyard.sdk.client import Client, Run, pack

COMPANY = "demo"
ZIP_CODE = "Zip code"
CSV_REPORT = "CSV report"
METER_READINGS = "Meter readings"
ORDER_INTAKE = "Order intake"
API_TASK = "Zip Code API Task"
A_MOMENT = 0.5
LOOKS = 60
"""So often, at most, the demo looks whether a task is warm, a moment between two looks."""
FORT_WORTH = "76131"
WIDEST_RULE = 100


class WrongEnding(RunyardError):
    """The demo did not go as it should."""


class Story:
    """Drives a fresh server through its first hour, and shows all of it."""

    def __init__(
        self, url: str, data: Path, examples: Path, outside: Outside, screen: Screen
    ) -> None:
        self._url = url
        self._data = data
        self._examples = examples
        self._outside = outside
        self._screen = screen
        self._token = (data / "admin.token").read_text().strip()

    def tell(self) -> None:
        """Tells all chapters; raises when one does not end as it should."""
        with Client(self._url, self._token, on_exchange=self._screen.exchange) as client:
            self._found(client)
            self._deploy(client)
            self._look_up(client)
            self._report(client)
            self._read_meters(client)
            self._deal_with_others(client)
            self._refuse(client)
            failed = self._fail(client)
            self._hold(client)
            self._plan(client)
            self._call(client)
            control = self._steer(client)
            auth_tkn = self._queue(client)
        self._invite(failed)
        self._invite_to_steer(control)
        self._invite_to_execute()
        self._invite_to_queue(auth_tkn)

    def _found(self, client: Client) -> None:
        chapter("A company", "Everything belongs to one.")
        client.create_company(COMPANY, name="Demo")
        client.company = COMPANY

    def _deploy(self, client: Client) -> None:
        chapter("Deploy", "A worker looks into the code, never the server. Lines as they come:")
        report = client.deploy(
            pack(self._examples),
            on_line=lambda line: console().print(Text(f"  {line}", "dim"), soft_wrap=True),
        )
        print_report(report)

    def _look_up(self, client: Client) -> None:
        chapter(ZIP_CODE, "A run with real input.")
        run = self._ended(client, ZIP_CODE, {"zip": FORT_WORTH}, RunState.COMPLETED)
        expected = {"state": "Texas", "place": "Fort Worth"}
        if run.outputs != expected:
            raise WrongEnding(f"{FORT_WORTH} lies in {run.outputs}, expected {expected}")

    def _report(self, client: Client) -> None:
        chapter(CSV_REPORT, "A file goes in, figures and a file come out.")
        file = client.upload(self._examples / "data" / "orders.csv")
        run = self._ended(client, CSV_REPORT, {"orders": {"file": file.id}}, RunState.COMPLETED)
        content = client.file_content(run.outputs["report"]["file"])
        console().print(content.decode(), style="cyan")

    def _read_meters(self, client: Client) -> None:
        chapter(METER_READINGS, "The first attempt fails on purpose; the second goes on.")
        run = self._ended(client, METER_READINGS, {}, RunState.COMPLETED)
        if run.attempt < 2:
            raise WrongEnding("the first attempt should have failed")

    def _deal_with_others(self, client: Client) -> None:
        allowed = f"This server may visit it: serve --allow-outbound {self._outside.allowance}"
        chapter(
            "Another system", f"A file comes from it, and it is told when all is done. {allowed}"
        )
        started = client.start(
            CSV_REPORT,
            {"orders": {"url": f"{self._outside.url}/orders.csv"}},
            callbacks=[f"{self._outside.url}/ended"],
        )
        follow(client, started.id, console())
        _require(client.run(started.id), RunState.COMPLETED)
        told = self._outside.wait()
        if told is None or not is_signed(client.callback_secret().secret, *told):
            raise WrongEnding("the other system should have been told, with a signature")
        headers, body = told
        console().print(Text(f"POST {self._outside.url}/ended", "bold"))
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            console().print(Text(f"{name}: {headers[name]}", "dim"))
        self._screen.body(body.decode())
        console().print("The signature holds (docs/callbacks.md).", style="cyan")

    def _refuse(self, client: Client) -> None:
        chapter("Wrong input", "Everything that is wrong is said at once; no run begins.")
        try:
            client.start(CSV_REPORT, {"order": {"file": 1}, "delimiter": 5})
        except InputRefused:
            return
        raise WrongEnding("wrong input was accepted")

    def _fail(self, client: Client) -> Run:
        chapter("A failing run", "It raises, is tried again, gives up, and says why.")
        run = self._ended(client, ZIP_CODE, {"zip": "00000"}, RunState.FAILED)
        if run.error is not None:
            console().print(Text(run.error.traceback.rstrip(), "red"))
        return run

    def _hold(self, client: Client) -> None:
        chapter("Why is it waiting?", "A paused orchestrator holds runs back, and says so.")
        client.pause()
        run = client.start(ZIP_CODE, {"zip": FORT_WORTH})
        reasons = client.explain(run.id)
        print_table(("Why", "What clears it"), ((r.text, r.action) for r in reasons), empty="")
        if not reasons:
            raise WrongEnding("a run that is held back should have a reason")
        client.resume()
        follow(client, run.id, console())
        _require(client.run(run.id), RunState.COMPLETED)

    def _plan(self, client: Client) -> None:
        from runyard.sdk.client import NewSchedule

        chapter("A schedule", "Runs that start by themselves.")
        client.create_schedule(
            NewSchedule(
                task=METER_READINGS,
                name="every night",
                cron="0 3 * * *",
                time_zone="Europe/Berlin",
                input={"failures": 0},
            )
        )

    def _call(self, client: Client) -> None:
        """A real-time call, of the task that programs made for Automation Anywhere execute."""
        chapter(
            "A call",
            "A task that is kept warm answers at once. The first call of this one reads its data, "
            "the second does not.",
        )
        allocation = client.allocate(API_TASK)
        for _ in range(LOOKS):
            if allocation.children:
                break
            time.sleep(A_MOMENT)
            allocation = client.allocation(API_TASK)
        expected = {"State": "Texas", "Place": "Fort Worth"}
        for _ in range(2):
            called = client.call(API_TASK, {"iStrZipCode": FORT_WORTH})
            if called.answer is None or called.answer.outputs != expected:
                raise WrongEnding(f"the call should have returned {expected}")

    def _invite_to_execute(self) -> None:
        told = "\nAs a program made for Automation Anywhere (docs/automation-anywhere.md):"
        console().print(told, style="italic")
        header = '-H "X-Authorization: $TOKEN" -H "Content-Type: application/json"'
        path = f"Automation Anywhere\\\\Bots\\\\{API_TASK}"
        for line in (
            f"{_program()} user create ann@example.com --role administrator --company {COMPANY}",
            f"KEY=$({_program()} user api-key create ann@example.com)",
            'TOKEN=$(curl -s -H "Content-Type: application/json" -d \'{"username": '
            '"ann@example.com", "apiKey": "\'$KEY\'"}\' '
            f"{self._url}/v2/authentication | cut -d'\"' -f4)",
            f'curl {header} -d \'{{"botRepositoryPath": ["{path}"]}}\' '
            f"{self._url}/orchestrator/v1/hotbot/config/accessdetails",
            "curl -H 'X-Authorization: <the token in it>' -H 'Content-Type: application/json' "
            f'-d \'{{"botInput": {{"iStrZipCode": "{FORT_WORTH}"}}}}\' <the url in it>',
        ):
            console().print(Text(f"  {line}"), soft_wrap=True)
        reference = f"{self._url}/console/reference/automation-anywhere"
        console().print(f"Its reference, to try it in a browser: {reference}")

    def _steer(self, client: Client) -> str:
        """The way of Integray's article, over its dialect; the token that it ends with."""
        chapter("Remote API", "Compatible with Integray's: allow control, then steer from outside.")
        control = client.allow_control("token")
        if control.secret is UNSET:
            raise WrongEnding("allowing control should have made a token")
        with RemoteCaller(control.url, control.secret, self._screen) as caller:
            caller.ask("GET", "/orchestrator/status")
            caller.ask("PUT", "/orchestrator/status", {"isRunnable": False})
            caller.ask("PUT", "/orchestrator/status", {"isRunnable": True})
            [task] = [t for t in caller.ask("GET", "/tasks?search=zip") if t["name"] == ZIP_CODE]
            body = {"input": {"zip": FORT_WORTH}, "note": "from the demo"}
            started = caller.ask("POST", f"/tasks/{task['taskId']}/start", body)
            run = caller.ask("GET", f"/taskruns/{started['taskRunId']}/wait?timeout=60")
        if run["statusId"] != 200:
            raise WrongEnding(f"the task run has the status {run['statusId']}, expected 200")
        return control.secret

    def _invite_to_steer(self, secret: str) -> None:
        console().print("\nAs a program made for Integray (docs/integray.md):", style="italic")
        base = f"{self._url}/api/remote/{COMPANY}"
        header = '-H "Authorization: $CONTROL"'
        for line in (
            f"export CONTROL={secret}",
            f"curl {header} {base}/orchestrator/status",
            f"curl -X PUT {header} -H 'Content-Type: application/json' "
            f"-d '{{\"isRunnable\": true}}' {base}/orchestrator/status",
            f"curl {header} '{base}/taskruns?statusId=200&count=3'",
        ):
            console().print(Text(f"  {line}"), soft_wrap=True)
        console().print(f"Its reference, to try it in a browser: {self._url}/remote-api/{COMPANY}")

    def _queue(self, client: Client) -> str:
        """The way of ELMA's page, over its dialect; the UUID of the system that calls."""
        chapter(
            "Task queue",
            "Compatible with ELMA RPA's: a system creates a task with files by address, and is told.",
        )
        auth_tkn = client.create_system("Finance BPM", allowed=True).uuid
        scan = f"{self._outside.url}/orders.csv"
        ctx = {
            "StringParam_in": "String value",
            "FileParam_in": scan,
            "DateTimeParam_in": "2031-03-22T00:00:00Z",
            "BoolParam_in": True,
            "DoubleParam_in": 12.2,
            "IntParam_in": 76,
            "ArrayParam_in": [scan, scan],
        }
        task = {
            "process": str(client.task(ORDER_INTAKE).uuid),
            "version": 0,
            "callback": f"{self._outside.url}/rpa",
            "ctx": json.dumps(ctx),
        }
        self._outside.forget()
        with RemoteCaller(f"{self._url}/v1", None, self._screen) as caller:
            by = {"auth_tkn": auth_tkn}
            created = caller.ask("POST", "/orchestra/task/create", {**by, "task": task})["task"]
            told = self._told_to(created["id"])
            seen = caller.ask("POST", "/orchestra/task/status", {**by, "id": created["id"]})
            if seen != told or seen["task"]["status"] != "DONE":
                raise WrongEnding("the task should be done, and the system told so")
            file = {"taskid": created["id"], "filename": "receipt.txt"}
            if "Total 927.20" not in caller.ask(
                "POST", "/repository/task/download", {**by, **file}
            ):
                raise WrongEnding("the receipt should have a total")
            self._take_out_of_the_queue(client, caller, by, task)
            caller.ask("POST", "/repository/actual", {**by, "page": 0, "limit": 1})
        return auth_tkn

    def _told_to(self, task: int) -> Any:  # noqa: ANN401 - JSON
        """What the other system is told of the end of a task."""
        told = self._outside.wait()
        if told is None or json.loads(told[1])["task"]["id"] != task:
            raise WrongEnding("the other system should have been told of the task's end")
        console().print(Text(f"POST {self._outside.url}/rpa, sent by this server", "bold"))
        self._screen.body(told[1].decode())
        return json.loads(told[1])

    def _take_out_of_the_queue(
        self, client: Client, caller: "RemoteCaller", by: Mapping[str, str], task: Mapping[str, Any]
    ) -> None:
        client.pause()
        later = {**task, "callback": "", "priority": "LOW", "ctx": '{"StringParam_in":"too much"}'}
        created = caller.ask("POST", "/orchestra/task/create", {**by, "task": later})["task"]
        ended = caller.ask("POST", "/orchestra/task/cancel", {**by, "id": created["id"]})["task"]
        client.resume()
        if "Cancelled by system Finance BPM" not in ended["log"]:
            raise WrongEnding("the log should say who has cancelled the task")

    def _invite_to_queue(self, auth_tkn: str) -> None:
        console().print("\nAs a system made for ELMA RPA (docs/elma.md):", style="italic")
        base, scan = f"{self._url}/v1", f"{self._outside.url}/orders.csv"
        ctx = f'{{\\"StringParam_in\\":\\"Ada\\",\\"FileParam_in\\":\\"{scan}\\"}}'
        created = (
            f'{{"auth_tkn": "{auth_tkn}", "task": {{"process": "\'$PROCESS\'", "ctx": "{ctx}"}}}}'
        )
        for line in (
            f'PROCESS=$({_program()} task show "{ORDER_INTAKE}" --json | '
            "grep -m1 -o '[0-9a-f-]\\{36\\}')",
            f"curl -d '{created}' {base}/orchestra/task/create",
            f'curl -d \'{{"auth_tkn": "{auth_tkn}", "id": <the id>}}\' {base}/orchestra/task/status',
            f'curl -d \'{{"auth_tkn": "{auth_tkn}", "taskid": <the id>, "filename": '
            f'"receipt.txt"}}\' {base}/repository/task/download',
            f'curl -d \'{{"auth_tkn": "{auth_tkn}"}}\' {base}/repository/actual',
        ):
            console().print(Text(f"  {line}"), soft_wrap=True)
        console().print(
            f"Its reference, to try it in a browser: {self._url}/console/reference/elma"
        )

    def _ended(
        self, client: Client, task: str, values: Mapping[str, Any], expected: RunState
    ) -> Run:
        """Starts a run, shows its log until it ends, and shows the run."""
        started = client.start(task, values)
        console().print(
            Text(f"GET /runyard/v1/companies/{COMPANY}/runs/{started.id}/events", "bold")
        )
        follow(client, started.id, console())
        run = client.run(started.id)
        _require(run, expected)
        return run

    def _invite(self, failed: Run) -> None:
        chapter("Your turn", "Paste these into another terminal:")
        base = f"{self._url}/runyard/v1/companies/{COMPANY}"
        bearer = '-H "Authorization: Bearer $RUNYARD_TOKEN"'
        for line in (
            f"export RUNYARD_URL={self._url} RUNYARD_COMPANY={COMPANY}",
            f"export RUNYARD_TOKEN=$(cat {self._data / 'admin.token'})",
            f"curl {bearer} {base}/tasks",
            f"curl {bearer} -H 'Content-Type: application/json' "
            f'-d \'{{"task": "{ZIP_CODE}", "input": {{"zip": "{FORT_WORTH}"}}}}\' {base}/runs',
            f"curl {bearer} {base}/runs/{failed.id}",
            f'{_program()} run start "{ZIP_CODE}" -i zip={FORT_WORTH} --wait',
        ):
            console().print(Text(f"  {line}"), soft_wrap=True)


class RemoteCaller:
    """Asks a dialect as a program made for it does, and shows that."""

    def __init__(self, url: str, secret: str | None, screen: Screen) -> None:
        self._screen = screen
        headers = {} if secret is None else {"authorization": secret}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=90, trust_env=False)

    def __enter__(self) -> "RemoteCaller":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """The answer's JSON, or text that is none; raises unless it is a success."""
        answer = self._http.request(method, path, json=body)
        self._screen.http(answer)
        if not answer.is_success:
            raise WrongEnding(f"{method} {path} was answered {answer.status_code}")
        return answer.json() if answer.text[:1] in {"{", "["} else answer.text


def chapter(title: str, about: str) -> None:
    """Prints a heading."""
    console().print()
    screen = console()
    screen.print(Rule(Text(title, "bold"), align="left"), width=min(screen.width, WIDEST_RULE))
    console().print(about, style="italic")


def _program() -> str:
    """How this program is called from where the demo was started."""
    if which("runyard"):
        return "runyard"
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m runyard"
    here = Path.cwd()
    return str(called.relative_to(here) if called.is_relative_to(here) else called)


def _require(run: Run, expected: RunState) -> None:
    if run.state is not expected:
        raise WrongEnding(f"run {run.id} of {run.task.name} is {run.state}, expected {expected}")
