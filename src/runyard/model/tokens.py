"""Tokens: credentials that programs present, and what they permit."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from runyard.model.ids import CompanyId, TokenId


class TokenKind(StrEnum):
    """Which door a token opens."""

    NATIVE = "native"
    WORKER = "worker"
    REMOTE_CONTROL = "remote-control"
    """Integray's Remote API, for one company; there is at most one that opens."""
    SYSTEM = "system"
    """A UUID of an external system, which `runyard.model.systems` has more of."""


class Role(StrEnum):
    """What the holder may do, each including the ones before it."""

    VIEWER = "viewer"
    """Read everything of the company."""
    OPERATOR = "operator"
    """Start, stop and steer runs, tasks, schedules and the orchestrator."""
    DEVELOPER = "developer"
    """Deploy code."""
    ADMINISTRATOR = "administrator"
    """Tokens, workers and the company itself."""


_PLACES = {role: place for place, role in enumerate(Role)}


def higher_role(roles: Iterable[Role]) -> Role | None:
    """The one among these roles that includes all others."""
    return max(roles, key=_PLACES.__getitem__, default=None)


class Permission(StrEnum):
    """What a route demands; `runyard.web.permissions` decides which role has it."""

    READ = "read"
    OPERATE = "operate"
    DEPLOY = "deploy"
    ADMINISTER = "administer"
    MONITOR = "monitor"
    """Read what concerns the whole installation: only tokens of no company have it."""
    INSTALL = "install"
    """Change what concerns the whole installation: only tokens of no company have it."""
    OWN = "own"
    """See and change what is the caller's own: every user has it, whatever the roles."""
    PUBLIC = "public"
    """Needs no token."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A stored credential. The secret itself is nowhere: only its SHA-256 is kept."""

    id: TokenId
    kind: TokenKind
    company_id: CompanyId | None
    """None: the whole installation."""
    role: Role
    name: str
    last_characters: str
    """The last 4 characters, to tell tokens apart in lists."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    joins: bool = False
    """Of a worker's token: whether workers that present it need not be allowed by anybody."""

    def role_in(self, company: CompanyId | None) -> Role | None:
        """The role in a company, None when it is not the token's; of None: for the installation."""
        return self.role if self.company_id in (None, company) else None

    @property
    def highest_role(self) -> Role:
        """The role, wherever it holds."""
        return self.role
