"""The Procrastinate application on one database."""

from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]

from benchmarks.peers.measure import report_start


def application(dsn: str, connections: int) -> App:
    """The application with its two tasks, not yet open."""
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=4, max_size=connections))

    @app.task(name="noop")  # type: ignore[untyped-decorator]
    async def noop() -> None:
        return None

    @app.task(name="timed")  # type: ignore[untyped-decorator]
    async def timed(sent_ns: int, address: str) -> None:
        report_start(sent_ns, address)

    return app
