"""People of a deployed stack's user pool, made for one run and deleted after it."""

import secrets
from typing import Any


class People:
    """One person for each tenant and set of groups, made when a token is asked for.

    The pool's app client has to let administrators sign people in, as it does in stage dev alone.
    """

    def __init__(self, cognito: Any, pool_id: str, client_id: str, run: str) -> None:
        self._cognito, self._pool_id, self._client_id, self._run = cognito, pool_id, client_id, run
        self._tokens: dict[tuple[str, ...], str] = {}
        self._usernames: list[str] = []

    def token(self, tenant_id: str, *groups: str) -> str:
        """An id token; people of the same tenant and groups are the same person."""
        key = (tenant_id, *sorted(groups))
        if key not in self._tokens:
            self._tokens[key] = self._person(tenant_id, groups)
        return self._tokens[key]

    def close(self) -> None:
        """Delete everybody."""
        while self._usernames:
            self._cognito.admin_delete_user(UserPoolId=self._pool_id, Username=self._usernames[-1])
            self._usernames.pop()

    def _person(self, tenant_id: str, groups: tuple[str, ...]) -> str:
        email = f"{self._run}-{len(self._usernames)}@example.com"
        password = f"Aa1{secrets.token_urlsafe(24)}"
        attributes = {"email": email, "email_verified": "true", "custom:tenantId": tenant_id}
        created = self._cognito.admin_create_user(
            UserPoolId=self._pool_id,
            Username=email,
            MessageAction="SUPPRESS",
            UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
        )
        username = created["User"]["Username"]
        self._usernames.append(username)
        self._cognito.admin_set_user_password(
            UserPoolId=self._pool_id, Username=username, Password=password, Permanent=True
        )
        for group in groups:
            self._cognito.admin_add_user_to_group(UserPoolId=self._pool_id, Username=username, GroupName=group)
        answer = self._cognito.admin_initiate_auth(
            UserPoolId=self._pool_id,
            ClientId=self._client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": password},
        )
        token: str = answer["AuthenticationResult"]["IdToken"]
        return token
