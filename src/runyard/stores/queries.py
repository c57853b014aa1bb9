"""The named queries of the `.sql` files, loaded once.

Every query declares its parameters in its heading, `-- name: find_run(company_id, run_id)^`. The
rows of a write are tuples in exactly that order. Both databases have the same names with the same
parameters; a test compares them.
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


def load_queries(folder: Path, driver: str) -> Mapping[str, Query]:
    """All queries of the `.sql` files in a folder, by name; `driver` is aiosql's word for it."""
    loaded = aiosql.from_path(folder, driver, mandatory_parameters=True)
    queries: dict[str, Query] = {}
    for name in loaded.available_queries:
        if name.endswith("_cursor"):
            continue
        function = getattr(loaded, name)
        queries[name] = Query(name, function.sql, tuple(function.parameters or ()))
    return queries
