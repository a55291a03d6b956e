"""What all that asks Google's APIs has in common: where a stand-in is, how a refusal is told. Imports nothing heavy."""

from __future__ import annotations

from urllib.parse import urlsplit

LOGIN = "log in with `gcloud auth application-default login`, or name a key file in GOOGLE_APPLICATION_CREDENTIALS"
"""What to do without credentials."""


def is_loopback(address: str) -> bool:
    """Whether an address, with or without its scheme, is of this machine: a stand-in, asked without credentials.

    >>> is_loopback("http://127.0.0.1:8080"), is_loopback("localhost:9050"), is_loopback("")
    (True, True, False)
    """
    host = urlsplit(address if "//" in address else f"//{address}").hostname
    return host in ("127.0.0.1", "::1", "localhost")


def first_line(error: BaseException) -> str:
    """Returns the first line of what an error says, or what kind it is if it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
