"""What the repository holds as a whole: no foreign addresses, no stale pages, no loose ends."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.tree import REPOSITORY, SOURCE, relative, repository_files

REGISTRIES = (
    r"pypi\.org",
    r"pythonhosted\.org",
    r"npmjs\.(?:org|com)",
    r"yarnpkg\.com",
    r"crates\.io",
    r"rubygems\.org",
    r"anaconda\.org",
)
HOME_FOLDERS = (r"/root/", r"/home/[a-z]", r"/Users/[A-Za-z]", r"C:\\+Users")
FORBIDDEN = re.compile("|".join((*REGISTRIES, *HOME_FOLDERS)))

MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
TEST_NAMED = re.compile(r"`(tests/[\w/.-]+)(?:::(\w+))?`")


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def pages() -> list[Path]:
    return sorted((REPOSITORY / "docs").rglob("*.md"))


def local_links(page: Path) -> set[Path]:
    """Files of this repository that a page points to."""
    targets = MARKDOWN_LINK.findall(page.read_text())
    return {(page.parent / target).resolve() for target in targets if "://" not in target}


def pinned(file: str) -> dict[str, set[str]]:
    """Requirement to hashes, as a lock file has them."""
    text = (REPOSITORY / file).read_text().replace("\\\n", " ")
    lines = (line.split() for line in text.splitlines() if line and line[0] not in "# ")
    return {words[0]: {word for word in words if word.startswith("--hash")} for words in lines}


STRATEGIES = {"blobs", "claims", "peers", "server"}
"""Groups of queries that belong to how one database claims, commits and is shared, not to the tables
that both have."""


def query_names(folder: str) -> set[str]:
    """Group and name of every named query in a folder of the stores that the tables use."""
    return {
        f"{path.stem}: {name}"
        for path in (SOURCE / "stores" / folder).rglob("*.sql")
        if path.stem not in STRATEGIES
        for name in re.findall(r"^--\s*name:\s*(\w+)", path.read_text(), re.M)
    }


def query_texts(database: str) -> set[str]:
    """Heading and text of every named query that stands in the folder of a database."""
    folder = SOURCE / "stores" / database / "queries"
    return {
        query.strip()
        for path in folder.glob("*.sql")
        for query in re.split(r"^(?=--\s*name:)", path.read_text(), flags=re.M)[1:]
    }


def test_no_file_names_a_registry_or_a_home_folder() -> None:
    here = Path(__file__)

    found = [
        f"{relative(path)}: {match.group()}"
        for path in repository_files()
        if path != here
        for match in FORBIDDEN.finditer(text_of(path))
    ]

    assert found == []


def test_every_pinned_package_has_a_hash() -> None:
    packages = pinned("requirements.lock")

    assert len(packages) > 50
    assert [name for name, hashes in packages.items() if not hashes] == []


def test_the_bootstrap_installs_the_pinned_uv() -> None:
    [(uv, hashes)] = pinned("bootstrap.lock").items()

    assert pinned("requirements.lock")[uv] == hashes


def test_both_databases_have_the_same_queries() -> None:
    assert query_names("sqlite") == query_names("postgres")


def test_a_query_that_both_databases_take_stands_once() -> None:
    shared = query_names("queries")

    assert len(shared) > 100
    assert shared & (query_names("sqlite") | query_names("postgres")) == set()
    assert query_texts("sqlite") & query_texts("postgres") == set()


def test_the_index_of_the_documents_is_complete() -> None:
    index = REPOSITORY / "docs" / "README.md"
    decisions = REPOSITORY / "docs" / "decisions" / "README.md"
    listed = local_links(index) | local_links(decisions) | {index}

    assert [relative(page) for page in pages() if page not in listed] == []


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", *pages()], ids=relative)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    assert [str(target) for target in local_links(page) if not target.exists()] == []


def defines(path: Path, test: str) -> bool:
    """Whether a test module has a test of this name."""
    return re.search(rf"^(?:async )?def {test}\(", path.read_text(), re.M) is not None


def test_the_tests_that_promises_name_exist() -> None:
    named = TEST_NAMED.findall((REPOSITORY / "docs" / "promises.md").read_text())
    paths = {path for path, _ in named}
    missing = [path for path in paths if not (REPOSITORY / path).exists()]

    assert missing == []
    tests = [(path, test) for path, test in named if test]
    assert len(tests) > 20
    assert [pair for pair in tests if not defines(REPOSITORY / pair[0], pair[1])] == []


def test_every_promise_that_is_kept_names_its_tests() -> None:
    rows = re.findall(r"^\| R\d+ \|.*$", (REPOSITORY / "docs" / "promises.md").read_text(), re.M)
    cells = [row.split(" | ") for row in rows]

    assert len(cells) == 15
    assert [row[0] for row in cells if "kept" in row[-1] and not TEST_NAMED.search(row[3])] == []


def test_every_target_of_the_makefile_is_on_the_map() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.M)[0].split())

    shown = subprocess.run(
        ["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout

    assert phony == set(re.findall(r"^  make (\S+)", shown, re.M))
