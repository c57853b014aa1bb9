"""The named queries of the `.sql` files, loaded once.

Every query declares its parameters in its heading, `-- name: find_run(company_id, run_id)^`. The
rows of a write are tuples in exactly that order. What both databases take word for word stands in
this folder; what they say differently stands in a folder of each, under the same names with the
same parameters. A test compares them.
"""

from collections.abc import Mapping
from pathlib import Path

import aiosql
import msgspec


class Query(msgspec.Struct, frozen=True):
    """One named statement."""

    name: str
    sql: str
    """With parameters as the driver wants them."""
    parameters: tuple[str, ...]


SHARED = Path(__file__).parent
"""The folder of the queries that both databases take."""


def load_queries(driver: str, *folders: Path) -> Mapping[str, Query]:
    """All queries of the `.sql` files in the folders, by name; `driver` is aiosql's word for it."""
    queries: dict[str, Query] = {}
    for folder in folders:
        loaded = aiosql.from_path(folder, driver, mandatory_parameters=True)
        for name in loaded.available_queries:
            if name.endswith("_cursor"):
                continue
            function = getattr(loaded, name)
            queries[name] = Query(name, function.sql, tuple(function.parameters or ()))
    return queries
