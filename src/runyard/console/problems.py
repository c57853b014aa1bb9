"""Errors as people see them: a page that says what happened and where to go from here."""

from http import HTTPStatus

from runyard.console.rendering import render
from runyard.model.errors import RunyardError
from runyard.web.asgi import Scope
from runyard.web.pages import Page
from runyard.web.problems import headers_of, problem_from, unexpected_problem


def page_form(error: RunyardError | None, trace: str, scope: Scope) -> Page:
    """Problems as pages of the console."""
    problem = unexpected_problem(trace) if error is None else problem_from(error)
    return Page(
        render("problem.html", problem=problem, phrase=HTTPStatus(problem.status).phrase),
        status=problem.status,
        headers=[] if error is None else headers_of(error),
    )
