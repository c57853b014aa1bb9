"""The page that describes the API."""

from tools.api_page import PAGE, page


def test_the_page_of_the_api_is_current() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"
