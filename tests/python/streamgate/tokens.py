"""Tokens: asked for at each connection, and renewed on the open socket: SPEC.md, section 17."""

import asyncio
from urllib.parse import urlsplit

from . import limits
from .errors import StreamgateError

_FORBIDDEN = 4403
_REFUSALS = (4401, _FORBIDDEN)
_OWN_MACHINE = {"localhost", "127.0.0.1", "::1"}


class Tokens:
    """The tokens of one client. `source` is None, a text, or an async function of `force`."""

    def __init__(self, source, urls, timeout_s=limits.TOKEN_TIMEOUT_S):
        self.source = source if callable(source) else None
        self.current = None if callable(source) else source
        self.timeout_s = timeout_s
        self.refused = None
        self.was_forbidden = False
        for url in urls if source is not None else ():
            parts = urlsplit(url)
            if parts.scheme != "wss" and parts.hostname not in _OWN_MACHINE:
                raise StreamgateError("CONFIG", f"no token is sent to {url}; use wss://")

    async def for_hello(self):
        """Returns the token for a new socket, or None if the client has none."""
        if self.source is None:
            return self.current
        token = await self.ask(force=self.refused is not None)
        if token == self.refused:
            raise StreamgateError("NOAUTH", "the server refused the token, and there is no other")
        self.current, self.refused = token, None
        return token

    async def ask(self, *, force):
        """Asks the owner for a token. A call that takes too long is cancelled."""
        async with asyncio.timeout(self.timeout_s):
            return await self.source(force=force)

    def may_have_another(self, close_code, has_lasted):
        """Records how a socket ended; returns whether another token may be accepted."""
        was_forbidden = self.was_forbidden and not has_lasted
        self.was_forbidden = was_forbidden or close_code == _FORBIDDEN
        if self.source is None or close_code not in _REFUSALS:
            return False
        # Not one that was presented later, and not accepted.
        self.refused = self.current
        return not (was_forbidden and close_code == _FORBIDDEN)


class Renewal:
    """Presents a new token on one open socket before the last one ends."""

    def __init__(self, session):
        self.session = session
        self.tokens = session.client.tokens
        self.presented = []
        self.task = None

    def identified(self, identity):
        """Schedules the next renewal by an `identity`, which may be None."""
        self.cancel()
        after_ms = (identity or {}).get("renew_after_ms")
        if after_ms is not None and self.tokens.source is not None:
            end_ms = identity.get("expires_after_ms")
            self.task = asyncio.create_task(self._renew(after_ms / 1000, end_ms))

    def answered(self, auth):
        """Handles an `auth` of the server, which answers `authenticate` or comes by itself."""
        token = self.presented.pop(0) if self.presented else None
        if token is not None and not auth.get("refused"):
            self.tokens.current = token
        self.identified(auth.get("identity"))

    def cancel(self):
        if self.task:
            self.task.cancel()

    async def _renew(self, after_s, end_ms):
        await asyncio.sleep(after_s)
        try:
            token = await self.tokens.ask(force=True)
        except StreamgateError as error:
            if error.code == "NOAUTH":
                return await self.session.client.sign_out(error)
            token = None
        except Exception:
            token = None
        if token is not None and token != self.tokens.current:
            self.presented.append(token)
            self.session.send({"authenticate": {"token": token}})
        elif end_ms is not None:
            # Half of what is left, so that the owner is asked a few times more.
            left_s = max(end_ms / 1000 - after_s, 0)
            self.task = asyncio.create_task(self._renew(max(left_s / 2, 5), left_s / 2 * 1000))
