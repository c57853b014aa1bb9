"""Deploys of bundles."""

from runyard.protocol.shapes.parts import Asked, Name, Shown
from runyard.protocol.shapes.tasks import Task


class DeployQuery(Asked, frozen=True, kw_only=True):
    """How to deploy."""

    name: Name
    """The bundle's name; the same name again replaces its tasks."""
    take_over: bool = False
    """Whether tasks of other bundles may become this bundle's."""


class DeployedTask(Shown, frozen=True, kw_only=True):
    """A task of a deploy and what became of it."""

    change: str
    """new, changed, unchanged or withdrawn."""
    task: Task


class DeployReport(Shown, frozen=True, kw_only=True):
    """What a deploy did."""

    bundle: str
    bundle_digest: str
    tasks: tuple[DeployedTask, ...]


class DeployLine(Shown, frozen=True, kw_only=True):
    """What a deploy is doing, for people."""

    text: str
