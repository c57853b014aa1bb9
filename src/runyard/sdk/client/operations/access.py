"""Whoever may come in: tokens, users with their API keys, and the keys that sign."""

from datetime import timedelta

from runyard.protocol.shapes import credentials as credential_shapes
from runyard.protocol.shapes import tokens as token_shapes
from runyard.protocol.shapes import users as user_shapes
from runyard.sdk.client.operations.addresses import Addresses, Ref, address
from runyard.sdk.client.requests import (
    Plan,
    all_pages,
    ask,
    delete,
    get,
    operation,
    patch,
    post,
    put,
    without_none,
)


class AccessOperations(Addresses):
    """Whoever may come in: tokens, users with their API keys, and the keys that sign."""

    @operation
    def tokens(self) -> Plan[tuple[token_shapes.Token, ...]]:
        """The company's tokens; those of the installation when the client has no company."""
        return (yield from all_pages(get(self._path_or_all("tokens")), token_shapes.TokenPage))

    @operation
    def create_token(
        self,
        kind: str = "native",
        *,
        role: str | None = None,
        name: str | None = None,
        lasting: timedelta | None = None,
        joins: bool = False,
    ) -> Plan[token_shapes.CreatedToken]:
        """A new token of the company, or of the installation when the client has no company.

        Its `secret` is shown only in this answer. `lasting` None: it never expires. `joins`: workers
        that present this worker token need not be allowed by anybody.
        """
        joined = True if joins else None
        body = without_none(kind=kind, role=role, name=name, lasting=lasting, joins=joined)
        return (yield from ask(post(self._path_or_all("tokens"), body), token_shapes.CreatedToken))

    @operation
    def revoke_token(self, token_id: int) -> Plan[None]:
        """Makes a token worthless, at once."""
        yield delete(self._path_or_all("tokens", token_id))

    @operation
    def users(self) -> Plan[tuple[user_shapes.User, ...]]:
        """All users. This and the rest about users needs a token of the installation."""
        return (yield from all_pages(get(address("users")), user_shapes.UserPage))

    @operation
    def user(self, user: Ref) -> Plan[user_shapes.User]:
        """One user by id or email."""
        return (yield from ask(get(address("users", user)), user_shapes.User))

    @operation
    def create_user(
        self,
        email: str,
        *,
        name: str | None = None,
        role: str | None = None,
        company: str | None = None,
        password: str | None = None,
    ) -> Plan[user_shapes.CreatedUser]:
        """A new user with a role in a company, or in all of them when `company` is None.

        Without a password the answer has a `setup_link` with which the user chooses one.
        """
        body = without_none(email=email, name=name, role=role, company=company, password=password)
        return (yield from ask(post(address("users"), body), user_shapes.CreatedUser))

    @operation
    def change_user(
        self,
        user: Ref,
        *,
        email: str | None = None,
        name: str | None = None,
        home_company: str | None = None,
        disabled: bool | None = None,
    ) -> Plan[user_shapes.User]:
        """Changes what is given. A disabled user is signed out and cannot sign in."""
        body = without_none(email=email, name=name, home_company=home_company, disabled=disabled)
        return (yield from ask(patch(address("users", user), body), user_shapes.User))

    @operation
    def remove_user(self, user: Ref) -> Plan[None]:
        """Removes a user with roles, logins and API keys; the email is free again."""
        yield delete(address("users", user))

    @operation
    def set_user_role(
        self, user: Ref, role: str | None, *, company: str | None = None
    ) -> Plan[user_shapes.User]:
        """Gives a role in a company, or in all when it is None; `role` None takes it away."""
        request = put(address("users", user, "role"), {"role": role, "company": company})
        return (yield from ask(request, user_shapes.User))

    @operation
    def set_user_password(self, user: Ref, password: str) -> Plan[None]:
        """Sets a password; every login of the user ends."""
        yield put(address("users", user, "password"), {"password": password})

    @operation
    def setup_link(self, user: Ref) -> Plan[user_shapes.SetupLink]:
        """A link with which a user chooses a password, once."""
        return (yield from ask(post(address("users", user, "setup-link")), user_shapes.SetupLink))

    @operation
    def first_setup_link(self) -> Plan[user_shapes.SetupLink]:
        """A link that makes the first administrator. Raises SetUpAlready when there is one."""
        return (yield from ask(post(address("setup-link")), user_shapes.SetupLink))

    @operation
    def sign_user_out(self, user: Ref) -> Plan[None]:
        """Ends every login of a user."""
        yield delete(address("users", user, "logins"))

    @operation
    def api_keys(self, user: Ref) -> Plan[tuple[credential_shapes.ApiKey, ...]]:
        """A user's API keys, newest first."""
        path = address("users", user, "api-keys")
        return (yield from all_pages(get(path), credential_shapes.ApiKeyPage))

    @operation
    def create_api_key(
        self, user: Ref, *, name: str = "", lasting: timedelta | None = None
    ) -> Plan[credential_shapes.CreatedApiKey]:
        """A key with which the user's programs log in; its `secret` is shown only now."""
        request = post(address("users", user, "api-keys"), {"name": name, "lasting": lasting})
        return (yield from ask(request, credential_shapes.CreatedApiKey))

    @operation
    def revoke_api_key(self, user: Ref, key: int) -> Plan[None]:
        """Makes an API key worthless, and ends what logged in with it, at once."""
        yield delete(address("users", user, "api-keys", str(key)))

    @operation
    def signing_keys(self) -> Plan[tuple[credential_shapes.SigningKey, ...]]:
        """The keys that tokens are signed with, newest first."""
        return (
            yield from all_pages(get(address("signing-keys")), credential_shapes.SigningKeyPage)
        )

    @operation
    def rotate_signing_keys(self, *, discard: bool = False) -> Plan[credential_shapes.SigningKey]:
        """Signs with a new key from now on; `discard`: what the others signed is void at once."""
        request = post(address("signing-keys", "rotate"), {"discard": discard})
        return (yield from ask(request, credential_shapes.SigningKey))
