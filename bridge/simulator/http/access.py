"""Identifies callers and checks their rights: auth modes `server` and `client`, and RBAC in Kubernetes' words.

Checks a request's Authorization header and verb; it knows no tokens except those in the options. Run on the simulator's
loop thread. Source: Argo v4.1 server/auth/gatekeeper.go; texts as recorded.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import orjson

from bridge.simulator.http.answers import ApiError
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.objects.versions import Release
from bridge.simulator.options import Identity, SimulatorOptions

_UNAUTHENTICATED = 16
_FORBIDDEN = 7
_GENERIC_TEXTS = {  # of client-go, for Kubernetes' responses
    3: "the server rejected our request for an unknown reason",
    _FORBIDDEN: "unknown",
    13: 'an error on the server ("unknown") has prevented the request from succeeding',
    _UNAUTHENTICATED: "the server has asked for the client to provide credentials",
}
_NOT_IN_LABEL = re.compile(r"[^-_.a-zA-Z0-9]")


class Caller:
    """The sender of a request.

    Attributes:
        identity: None if Kubernetes does not know the token; then everything except server information is refused.
        claims: What the token says about itself, unverified.
    """

    __slots__ = ("claims", "identity")

    def __init__(self, identity: Identity | None, claims: dict[str, Any]) -> None:
        self.identity = identity
        self.claims = claims

    def creator_labels(self) -> dict[str, str]:
        """Return the labels that a create gets; none if the token has no claims."""
        subject = self.claims.get("sub")
        if not isinstance(subject, str) or not subject:
            return {}
        value = _NOT_IN_LABEL.sub("-", subject)[-63:].strip("-_.")
        return {"workflows.argoproj.io/creator": value}

    def actor_labels(self, action: str) -> dict[str, str]:
        """Return the labels that a changed workflow gets, if the release writes them; none if the token has no claims.

        Args:
            action: E.g. `Stop`; empty if the verb has none.
        """
        labels = {key.replace("/creator", "/actor"): value for key, value in self.creator_labels().items()}
        return {**labels, "workflows.argoproj.io/action": action} if labels and action else labels

    def resumed_by(self) -> str:
        """Return the message of a resumed node; empty if the token has no claims."""
        known = {"Email": "email", "PreferredUsername": "preferred_username", "User": "sub"}
        found = [f"{key}:{self.claims[claim]}" for key, claim in known.items() if self.claims.get(claim)]
        return f"Resumed by: map[{' '.join(found)}]" if found else ""

    def user_info(self) -> dict[str, str]:
        """Answer of `GET userinfo`."""
        info: dict[str, str] = {}
        for claim, key in (("iss", "issuer"), ("sub", "subject"), ("name", "name"), ("email", "email")):
            if isinstance(self.claims.get(claim), str):
                info[key] = self.claims[claim]
        parts = info.get("subject", "").split(":")
        if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"]:
            info |= {"serviceAccountName": parts[3], "serviceAccountNamespace": parts[2]}
        return info


class Access:
    """Decides whether a request is allowed.

    Args:
        options: Tokens, rights and namespaces.
        release: Texts differ.
    """

    def __init__(self, options: SimulatorOptions, release: Release) -> None:
        self._release = release
        self._forbidden = options.forbidden_namespaces
        self._identities = {identity.token: identity for identity in options.identities}
        if options.token is not None:
            token = options.token.removeprefix("Bearer ")
            self._identities[token] = Identity(token)
        self._anyone = Caller(Identity(""), {})

    def identify(self, request: ParsedRequest) -> Caller:
        """Identify the caller.

        Raises:
            ApiError: 401 if the header fits no auth mode.
        """
        if not self._identities:
            return self._anyone
        header = request.headers.get("authorization") or _cookie(request)
        if not header.startswith(("Bearer ", "Basic ")):
            where = "release-3.5" if self._release.minor == (3, 5) else "latest"
            text = f"token not valid. see https://argo-workflows.readthedocs.io/en/{where}/faq/"
            raise ApiError(_UNAUTHENTICATED, text)
        token = header.partition(" ")[2]
        return Caller(self._identities.get(token), _claims(token))

    def require(self, caller: Caller, verb: str, namespace: str, name: str = "") -> None:
        """Refuse unless the caller has a right on workflows.

        Raises:
            ApiError: 401 for an unknown token, 403 without the right.
        """
        if self._allows(caller, verb, namespace):
            return
        if verb == "list":
            text = (
                f'Permission denied, you are not allowed to list workflows in namespace "{namespace}". '
                f"Maybe you want to specify a namespace with query parameter `.namespace={namespace}`?"
            )
            raise ApiError(_FORBIDDEN, text)
        raise ApiError(_FORBIDDEN, kube_denial(self.known(caller).subject, verb, "workflows", namespace, name))

    def _allows(self, caller: Caller, verb: str, namespace: str) -> bool:
        rights = self.known(caller).rights
        return namespace not in self._forbidden and (rights is None or verb in rights.get(namespace, frozenset()))

    def require_templates(self, caller: Caller, verb: str, resource: str, namespace: str, name: str = "") -> None:
        """Refuse unless the caller has a right on templates.

        Raises:
            ApiError: 401 for an unknown token, 403 without the right.
        """
        identity = self.known(caller)
        reading = verb in ("get", "list")
        if namespace not in self._forbidden and (identity.read_templates if reading else identity.rights is None):
            return
        if verb == "get" and self._release.template_cache:
            raise ApiError(_FORBIDDEN, "permission denied")
        raise ApiError(_FORBIDDEN, kube_denial(identity.subject, verb, resource, namespace, name))

    def require_other(self, caller: Caller, verb: str, resource: str, namespace: str, name: str = "") -> None:
        """Refuse unless the caller has a right on CronWorkflows and WorkflowEventBindings.

        Reading them requires reading templates; changing them requires all rights on workflows.

        Raises:
            ApiError: 401 for an unknown token, 403 without the right.
        """
        identity = self.known(caller)
        reading = verb in ("get", "list") and resource == "cronworkflows"
        if namespace in self._forbidden or not (identity.read_templates if reading else identity.rights is None):
            raise ApiError(_FORBIDDEN, kube_denial(identity.subject, verb, resource, namespace, name))

    def require_archived(self, caller: Caller, verb: str, namespace: str) -> None:
        """Refuse unless the caller has a right on archived workflows, which is the same as for live ones.

        Raises:
            ApiError: 401 for an unknown token, 403 without the right.
        """
        if not self._allows(caller, verb, namespace):
            raise ApiError(_FORBIDDEN, "permission denied")

    def known(self, caller: Caller) -> Identity:
        """Return the caller's identity.

        Raises:
            ApiError: 401 if Kubernetes does not know the token.
        """
        if caller.identity is None:
            raise ApiError(_UNAUTHENTICATED, "Unauthorized")
        return caller.identity

    def stream_text(self, error: ApiError) -> str:
        """Return the text of a watch about an error from Kubernetes."""
        generic = None if self._release.kube_text_on_watch else _GENERIC_TEXTS.get(error.code)
        return error.message if generic is None else f"{generic} (get workflows.argoproj.io)"


def kube_denial(subject: str, verb: str, resource: str, namespace: str, name: str) -> str:
    """Return Kubernetes' message for a missing right."""
    what = f'{resource}.argoproj.io "{name}"' if name else f"{resource}.argoproj.io"
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    return (
        f'{what} is forbidden: User "{subject}" cannot {verb} resource "{resource}" in API group "argoproj.io"{where}'
    )


def _cookie(request: ParsedRequest) -> str:
    for part in request.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == "authorization":
            return value.strip('"')
    return ""


def _claims(token: str) -> dict[str, Any]:
    """Return the unverified claims of a JWT; empty if it is not one."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        value = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, orjson.JSONDecodeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
