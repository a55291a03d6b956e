"""How Google's APIs are reached, and what their refusals mean: credentials, addresses, errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import google.auth
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from pipeline.contract import UserError
from pipeline.google_words import LOGIN, first_line, is_loopback
from runners.vertex.settings import VertexSettings

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
TIMEOUT_S = 60


def is_standin(vertex: VertexSettings) -> bool:
    """Whether the APIs are played by a server on this machine, which is asked without credentials."""
    return vertex.api_endpoint is not None and is_loopback(vertex.api_endpoint)


def credentials(vertex: VertexSettings) -> Any:
    """Returns application default credentials, or anonymous ones for a local stand-in.

    Raises:
      UserError: there are none.
    """
    if is_standin(vertex):
        return AnonymousCredentials()
    with understood(vertex):
        found, _ = google.auth.default(scopes=SCOPES, quota_project_id=vertex.project)
        return found


def address(vertex: VertexSettings, service: str) -> str:
    """Returns the address of a Google API, such as `logging`, without a slash at its end."""
    return (vertex.api_endpoint or f"https://{service}.googleapis.com").rstrip("/")


def call(
    vertex: VertexSettings,
    service: str,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    body: Any = None,
) -> Any:
    """Asks a Google API that has no client library among our dependencies, and returns its JSON.

    Args:
      vertex: settings.
      service: such as `logging` or `serviceusage`.
      method: of HTTP.
      path: with version, such as `/v2/entries:list`.
      params: of the address.
      body: JSON to send.

    Raises:
      UserError: the API could not be reached, or refused.
    """
    found = credentials(vertex)
    session = requests.Session() if isinstance(found, AnonymousCredentials) else AuthorizedSession(found)
    with session, understood(vertex):
        answer = session.request(
            method, address(vertex, service) + path, params=dict(params or {}), json=body, timeout=TIMEOUT_S
        )
        if not answer.ok:
            raise exceptions.from_http_response(answer)
        return answer.json()


def client(vertex: VertexSettings, kind: type[Any]) -> Any:
    """Returns a client of Vertex AI in the region, of a class such as `aiplatform_v1.JobServiceClient`.

    It speaks HTTP, not gRPC: that goes through proxies, and to a stand-in without TLS. Unlike `aiplatform.init`, it
    leaves nothing behind in the process.

    Raises:
      UserError: there are no credentials.
    """
    options = {"api_endpoint": address(vertex, f"{vertex.region}-aiplatform")}
    return kind(credentials=credentials(vertex), transport="rest", client_options=options)


@contextmanager
def understood(vertex: VertexSettings) -> Iterator[None]:
    """Turns what Google's clients raise into a `UserError` that says what to do."""
    try:
        yield
    except GoogleAuthError as error:
        raise UserError(expected="credentials for Google Cloud", received=_first(error), todo=LOGIN) from error
    except exceptions.GoogleAPICallError as error:
        expected, todo = _meaning(vertex, error)
        raise UserError(expected=expected, received=_first(error), todo=todo) from error
    except (exceptions.RetryError, requests.RequestException, ConnectionError) as error:
        raise UserError(
            expected=f"to reach {vertex.api_endpoint or 'Google Cloud'}",
            received=_first(error),
            todo="look at the network or a proxy, or correct vertex.region or vertex.api_endpoint",
        ) from error


def _meaning(vertex: VertexSettings, error: exceptions.GoogleAPICallError) -> tuple[str, str]:
    """Returns what was expected, and what to do."""
    where = f"project {vertex.project}, region {vertex.region}"
    if isinstance(error, exceptions.Unauthorized):
        return "credentials that Google accepts", LOGIN
    return _told_by_text(vertex, error.message, where) or _told_by_status(error, where)


def _told_by_text(vertex: VertexSettings, text: str, where: str) -> tuple[str, str] | None:
    """Mistakes that have no status of their own: most come as 400, as if the request were wrong."""
    account = vertex.service_account or "the project's default service account"
    if "has not been used in project" in text or "is disabled" in text:
        return (
            f"the API to be enabled in {where}",
            "enable it: `terraform apply` in deploy/terraform, see docs/vertex.md",
        )
    if "permission to act as" in text or "iam.serviceAccounts.actAs" in text:
        return (
            f"the right to let jobs in {where} run as {account}",
            "have roles/iam.serviceAccountUser granted to you on that account, or correct vertex.service_account",
        )
    if "to the bucket" in text:
        return (
            f"a bucket that {account} may read and write: {vertex.root}",
            "correct vertex.root, or make the bucket and grant roles/storage.objectAdmin on it: deploy/terraform does",
        )
    if vertex.network and "network" in text.lower():
        return (
            f"a network that {where} may use",
            "correct vertex.network: projects/NUMBER/global/networks/NAME, peered through private services access",
        )
    return None


def _told_by_status(error: exceptions.GoogleAPICallError, where: str) -> tuple[str, str]:
    if isinstance(error, exceptions.Forbidden):
        return (
            f"permission for this in {where}",
            "correct vertex.project, or have the role granted that docs/vertex.md names for this command",
        )
    if isinstance(error, exceptions.NotFound):
        return f"it to exist in {where}", "correct the name, or vertex.project and vertex.region"
    if isinstance(error, exceptions.Conflict):
        return f"a name that is free in {where}", "choose another name, or leave it out"
    if isinstance(error, exceptions.TooManyRequests):
        return f"quota for this in {where}", "ask for more under IAM & Admin > Quotas, use another region, or wait"
    if isinstance(error, exceptions.BadRequest):
        return f"a request that Vertex AI takes in {where}", "correct the setting that the answer names"
    return f"an answer from {where}", "try again later; https://status.cloud.google.com tells of outages"


def _first(error: Exception) -> str:
    # Neither the address that was asked nor the objects on the way to it say anything that the user typed.
    text = re.sub(r"\b[A-Z]+ https?://\S+: ", "", first_line(error))
    return re.sub(r"^.*(\[Errno -?\d+\] [^'\")]+).*$", r"\1", text)
