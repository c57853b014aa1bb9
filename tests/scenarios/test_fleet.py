"""Workers on other machines: real servers, real workers, real sockets (R11)."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from runyard.sdk.client import Client
from tests.support.certificates import self_signed
from tests.support.fleet import WorkerProcess, a_worker_process
from tests.support.house import House, running_house, runyard

CODE = '''
from dataclasses import dataclass

from runyard import File, log, task


@dataclass
class Figures:
    lines: int
    report: File


@task("Count lines")
def count_lines(text: File) -> Figures:
    """How many lines a file has."""
    lines = text.read_text().splitlines()
    log.info(f"read {len(lines)} lines")
    return Figures(len(lines), File.write("report.txt", "x" * 10_000_000))
'''


QUICK = """
from runyard import task


@task("Quick")
def quick() -> str:
    return "quick"
"""
LONG = """
import time

from runyard import task


@task("Long")
def long() -> None:
    time.sleep(8)
"""
LABELLED = """
from runyard import task


@task("Drawn", labels=["gpu"])
def drawn() -> str:
    return "drawn"
"""


@pytest.fixture
def house(memory_path: Path) -> Iterator[House]:
    """A server without a worker of its own, with a company."""
    with running_house(memory_path / "server", "--slots", "0") as found:
        with Client(found.url, found.token) as client:
            client.create_company("acme")
        yield found


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    with Client(house.url, house.token, company="acme") as found:
        yield found


@pytest.fixture
def worker(house: House, client: Client, memory_path: Path) -> Iterator[WorkerProcess]:
    token = client.create_token("worker", joins=True).secret
    with a_worker_process(house.url, token, memory_path / "w1", "--name", "w1") as found:
        found.until_printed("Connected")
        yield found


def test_bundles_files_and_logs_go_over_the_wire(
    client: Client, worker: WorkerProcess, memory_path: Path
) -> None:
    """The worker shares no folder with the server."""
    (memory_path / "count.py").write_text(CODE)
    client.deploy(memory_path / "count.py")
    text = client.upload(b"one\ntwo\n", name="text.txt")

    run = client.wait(client.start("Count lines", {"text": text.id}).id)

    assert run.state == "completed"
    assert run.outputs["lines"] == 2
    content = client.file_content(run.outputs["report"]["file"])
    assert len(content) == 10_000_000
    assert [line.text for line in client.logs(run.id).lines] == ["read 2 lines"]


def test_a_worker_that_is_told_to_stop_says_goodbye(client: Client, worker: WorkerProcess) -> None:
    """R13"""
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0
    assert [view.online for view in client.workers()] == [False]


def test_a_worker_without_a_valid_token_ends_and_says_why(
    house: House, client: Client, memory_path: Path
) -> None:
    created = client.create_token("worker")
    client.revoke_token(created.id)

    with a_worker_process(house.url, created.secret, memory_path / "w1") as worker:
        assert worker.wait() == 4
        worker.until_printed("this token was revoked")


def test_a_new_worker_works_as_soon_as_an_administrator_allows_it(
    house: House, client: Client, memory_path: Path
) -> None:
    (memory_path / "quick.py").write_text(QUICK)
    token = client.create_token("worker").secret
    with a_worker_process(house.url, token, memory_path / "w1", "--name", "w1") as worker:
        worker.until_printed("an administrator has to allow the worker w1")
        [waiting] = client.workers()
        allowed = house.run("worker", "allow", "w1", "--company", "acme")
        worker.until_printed("Connected")
        client.deploy(memory_path / "quick.py")
        run = client.wait(client.start("Quick").id)

    assert (waiting.state, waiting.online, waiting.address) == ("request", False, "127.0.0.1")
    assert allowed.stdout.strip() == "Worker w1 is allowed."
    assert run.outputs == {"result": "quick"}


def test_a_locked_worker_ends_and_says_why(client: Client, worker: WorkerProcess) -> None:
    client.lock_worker("w1")

    assert worker.wait() == 4
    worker.until_printed("an administrator has locked the worker w1")


def test_a_worker_whose_token_is_revoked_ends_at_once(
    house: House, client: Client, memory_path: Path
) -> None:
    created = client.create_token("worker", joins=True)
    with a_worker_process(house.url, created.secret, memory_path / "w2") as worker:
        worker.until_printed("Connected")
        client.revoke_token(created.id)
        assert worker.wait() == 4
        worker.until_printed("revoked")


def test_the_list_shows_where_workers_are_and_what_they_do(
    house: House, worker: WorkerProcess
) -> None:
    [shown] = house.json("worker", "list", "--company", "acme")
    table = house.run("worker", "list").stdout

    assert (shown["name"], shown["state"], shown["online"]) == ("w1", "allowed", True)
    assert (shown["company"], shown["address"], shown["busy"]) == ("acme", "127.0.0.1", 0)
    assert shown["isolation"]
    assert shown["host"]
    assert "w1" in table


def test_no_run_waits_behind_a_long_one_while_another_worker_is_idle(
    house: House, client: Client, memory_path: Path
) -> None:
    """R8"""
    token = client.create_token("worker", joins=True).secret
    (memory_path / "long.py").write_text(LONG)
    with ExitStack() as fleet:
        for name in ("w1", "w2"):
            folder = memory_path / name
            worker = fleet.enter_context(
                a_worker_process(house.url, token, folder, "--name", name, "--slots", "1")
            )
            worker.until_printed("Connected")
        client.deploy(memory_path / "long.py")
        started = [client.start("Long") for _ in range(2)]

        first, second = (client.wait(run.id) for run in started)

    assert first.worker_id != second.worker_id
    assert second.started_at < first.finished_at


@pytest.mark.parametrize("how", ["drained", "told to stop"])
def test_no_call_fails_while_its_worker_leaves(
    house: House, client: Client, memory_path: Path, how: str
) -> None:
    """R13: calls were refused for as long as it drained, and lost when it was told to stop."""
    token = client.create_token("worker", joins=True).secret
    (memory_path / "quick.py").write_text(QUICK)
    with ExitStack() as fleet:
        first, second = (
            fleet.enter_context(
                a_worker_process(house.url, token, memory_path / name, "--name", name)
            )
            for name in ("w1", "w2")
        )
        first.until_printed("Connected")
        client.deploy(memory_path / "quick.py")
        client.allocate("Quick")
        with answers_of_calls(house, client) as answers:
            answers.until(lambda: answers.count(200) >= 50)
            second.until_printed("Connected")
            if how == "drained":
                client.drain_worker("w1")
            else:
                first.send(signal.SIGTERM)
                assert first.wait() == 0
            before = len(answers)
            answers.until(lambda: answers.count(200) >= before + 50)

        by = {run.worker_id for run in client.runs(limit=20).items}
        assert by == {client.worker("w2").id}
    assert set(answers) == {200}


class Answers(list[int]):
    """Statuses of answers, as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.news = threading.Condition()

    def until(self, holds: Callable[[], bool]) -> None:
        """Returns once this holds, or an answer is no good one."""
        with self.news:
            assert self.news.wait_for(lambda: holds() or set(self) - {200}, 60)


@contextmanager
def answers_of_calls(house: House, client: Client) -> Iterator[Answers]:
    """Call a task again and again for the length of the block, once it can be called."""
    answers, is_over = Answers(), threading.Event()
    task = client.task("Quick").id

    def call() -> None:
        with httpx.Client(
            base_url=f"{house.url}/runyard/v1/companies/acme",
            headers={"authorization": f"Bearer {house.token}"},
            trust_env=False,
            timeout=30,
        ) as caller:
            while not is_over.is_set():
                status = caller.post(f"/tasks/{task}/call", json={"input": {}}).status_code
                if status == 200 or 200 in answers:  # before the first its children were made
                    with answers.news:
                        answers.append(status)
                        answers.news.notify_all()

    calling = threading.Thread(target=call)
    calling.start()
    try:
        yield answers
    finally:
        is_over.set()
        calling.join()


def test_labels_lead_runs_to_the_workers_that_have_them(
    house: House, client: Client, worker: WorkerProcess, memory_path: Path
) -> None:
    (memory_path / "drawn.py").write_text(LABELLED)
    client.deploy(memory_path / "drawn.py")
    waiting = client.start("Drawn")
    assert [reason.code for reason in client.explain(waiting.id)] == ["no_worker"]

    token = client.create_token("worker", joins=True).secret
    words = ("--name", "w2", "--label", "gpu", "--label", "big")
    with a_worker_process(house.url, token, memory_path / "w2", *words):
        run = client.wait(waiting.id)

    by_name = {shown.name: shown for shown in client.workers()}
    assert run.worker_id == by_name["w2"].id
    assert by_name["w2"].labels == ("gpu", "big")


def test_a_second_worker_in_the_same_folder_ends_and_says_why(
    house: House, client: Client, worker: WorkerProcess, memory_path: Path
) -> None:
    token = client.create_token("worker", joins=True).secret

    with a_worker_process(house.url, token, memory_path / "w1", "--name", "w2") as second:
        assert second.wait() == 6
        second.until_printed("another worker keeps its bundles and environments")

    assert [view.online for view in client.workers()] == [True]


def test_the_token_is_not_left_for_everybody_to_read(
    house: House, client: Client, memory_path: Path
) -> None:
    """/proc/<pid>/cmdline is open to all, to task code as well."""
    token = client.create_token("worker", joins=True).secret
    words = ("--token", token, "--name", "w9")
    with a_worker_process(house.url, "", memory_path / "w9", *words) as worker:
        worker.until_printed("Connected")
        shown = Path(f"/proc/{worker.process.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{worker.process.pid}/environ").stat().st_uid

    assert token.encode() not in shown
    assert environment == 0


def test_certificates_are_verified(memory_path: Path) -> None:
    certificate, key = self_signed(memory_path)
    data, folder = memory_path / "server", memory_path / "w1"
    with running_house(data, "--slots", "0") as house:
        made = house.run("token", "create", "worker", "--installation", "--join")
        token = made.stdout.strip()
    tls = ("--slots", "0", "--tls-cert", str(certificate), "--tls-key", str(key))
    with running_house(data, *tls) as house:
        assert house.url.startswith("https://")
        with a_worker_process(house.url, token, folder) as worker:
            worker.until_printed("its certificate is not trusted")
        with a_worker_process(house.url, token, folder, "--trust", str(certificate)) as worker:
            worker.until_printed("Connected.")


def test_a_wrong_command_line_says_what_is_allowed(memory_path: Path) -> None:
    wrong = {
        ("--server", "ftp://x", "--token", "t"): "an address such as https://",
        ("--server", "http://x"): "RUNYARD_WORKER_TOKEN",
        ("--token", "t"): "--server URL",
        ("--server", "http://x", "--token", "t", "--slots", "0"): "1 to 10000",
        ("--server", "http://x", "--token", "t", "--name", "7"): "--name '7': allowed are",
        ("--server", "http://x", "--token-file", "/no/such"): "/no/such",
        ("--server", "http://x", "--token", "t", "--trust", "/no/such"): "/no/such",
    }

    for words, said in wrong.items():
        done = runyard("worker", *words, "--data", str(memory_path / "w"))
        assert done.returncode == 2, (words, done.stderr)
        assert said in done.stderr, (words, done.stderr)


def test_a_name_that_is_taken_is_refused_in_the_end(
    house: House, client: Client, worker: WorkerProcess, memory_path: Path
) -> None:
    token = client.create_token("worker", joins=True).secret
    with a_worker_process(house.url, token, memory_path / "w2", "--name", "w1") as second:
        second.until_printed("a worker named w1 is connected from the host")
        worker.send(signal.SIGTERM)
        worker.wait()
        second.until_printed("Connected")
