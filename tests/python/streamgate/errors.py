"""Faults: what a server replies, and what the client reports by itself."""

_RETRY = {"DISCONNECTED": "later", "OVERLOADED": "later", "UNKNOWN_OUTCOME": "unknown"}


class StreamgateError(Exception):
    """A fault of SPEC.md, section 9."""

    def __init__(
        self,
        code,
        message="",
        retry=None,
        retry_after_ms=None,
        entry=None,
        last_number=None,
    ):
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        retry = retry or _RETRY.get(code, "never")
        self.retry = retry if retry in ("later", "unknown") else "never"
        self.retry_after_ms = retry_after_ms
        self.entry = entry
        self.last_number = last_number


class Lost(Exception):
    """The socket ended after the request was sent, and before its reply."""


class Expired(Exception):
    """No socket took the request in its retry time."""


class Stopped(Exception):
    """The client was closed, or stopped for good."""
