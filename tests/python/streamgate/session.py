"""One socket: hello and welcome, ids, frames and the heartbeat."""

import asyncio
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from . import limits
from .codec import CLIENT, SERVER, Malformed, OnlyId
from .errors import StreamgateError
from .tokens import Renewal

# The close codes after which a client connects again (section 13.1).
_RECONNECT = {1001, 1005, 1006, 1011, 1012, 1013, 4408, 4429, 4503}
_STOP = {1000, 1002, 1003, 1007, 1009, 1010}
_STOP_HTTP = {400, 401, 403, 404, 426}


@dataclass
class End:
    """How a socket ended, and what the client does then."""

    code: int | None = None
    http: int | None = None
    stop: bool = False
    look_again: bool = False
    retry_after_s: float = 0.0

    def error(self):
        """The error of a client that stops because of this."""
        if self.http is not None:
            code = {401: "NOAUTH", 403: "NOPERM"}.get(self.http, "PROTOCOL")
            return StreamgateError(code, f"the server answered with HTTP status {self.http}")
        code = {1000: "CLOSED", 4401: "NOAUTH", 4403: "NOPERM"}.get(self.code, "PROTOCOL")
        return StreamgateError(code, f"the socket was closed with {self.code}")


class Violation(Exception):
    def __init__(self, code):
        super().__init__(f"the server broke the protocol: {code}")
        self.code = code


class Session:
    def __init__(self, client, url, token):
        self.client = client
        self.url = url
        self.token = token
        self.renewal = Renewal(self)
        self.codec = None
        self.websocket = None
        self.welcome = None
        self.ended = False
        self.exchanges = {}
        self.last_id = 0
        self.outgoing = []
        self.something_to_send = asyncio.Event()
        self.welcomed = asyncio.Event()

    @property
    def heartbeat_s(self):
        return self.welcome["heartbeat_ms"] / 1000

    async def run(self):
        """Opens the socket and serves it; returns how it ended."""
        try:
            self.websocket = await self._open()
        except InvalidStatus as error:
            return _refused(error.response)
        except (OSError, InvalidHandshake, EOFError, asyncio.TimeoutError):
            return End()
        reading, writing = (asyncio.create_task(task) for task in (self._read(), self._write()))
        try:
            self.codec = self.client.encodings.get(self.websocket.subprotocol)
            if self.codec is None:
                await self.close(4400)
                return End(code=4400, stop=True)
            self.send({"hello": self.client.hello(self.token)})
            return await self._serve(reading)
        finally:
            self.ended = True
            self.renewal.cancel()
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _open(self):
        return await connect(
            self.url,
            subprotocols=list(self.client.encodings),
            compression=None,
            proxy=None,
            ping_interval=None,
            open_timeout=self.client.connect_timeout_s,
            close_timeout=limits.CLOSE_TIMEOUT_S,
            max_size=self.client.max_frame_bytes,
        )

    async def _serve(self, reading):
        welcome = asyncio.create_task(self.welcomed.wait())
        await _first(reading, welcome, timeout=self.client.connect_timeout_s)
        if self.welcome is not None:
            self.client.connected(self)
            await _first(reading, asyncio.create_task(self._heartbeat()))
        if reading.done():
            return await self._end(reading.exception())
        self.abandon()
        return End(look_again=True)

    async def _end(self, error):
        if isinstance(error, Violation):
            await self.close(error.code)
            return End(code=error.code, stop=True)
        if not isinstance(error, ConnectionClosed):
            raise error
        if error.rcvd is not None and error.rcvd_then_sent is not False:
            return End(code=error.rcvd.code, stop=stops(error.rcvd.code))
        # Without a close frame of the server, the library itself may have found a violation.
        code = error.sent.code if error.sent else 1006
        return End(code=code, stop=stops(code), look_again=not stops(code))

    def abandon(self):
        """Ends the socket without a close handshake; what still arrives is ignored."""
        self.ended = True
        self.websocket.transport.abort()

    async def close(self, code):
        await self.websocket.close(code)

    def send(self, message):
        self.send_encoded(self.codec.encode(CLIENT, message))

    def send_encoded(self, data):
        self.outgoing.append(data)
        self.something_to_send.set()

    def begin(self, exchange):
        """Sends a request or a subscription; it is in flight until it ends."""
        self.last_id += 1
        try:
            data = self.codec.encode(CLIENT, exchange.message(self.last_id))
        except Malformed as error:
            return exchange.fail(StreamgateError("SERIALIZATION", str(error)))
        if encoded_bytes(data) > self.welcome["max_frame_bytes"]:
            text = f"the request has {encoded_bytes(data)} bytes"
            return exchange.fail(StreamgateError("LIMIT", text))
        exchange.sent(self, self.last_id)
        self.exchanges[self.last_id] = exchange
        self.send_encoded(data)

    def cancel(self, exchange):
        if self.exchanges.pop(exchange.id, None) is not None and not self.ended:
            self.send({"cancel": {"id": exchange.id}})

    async def _write(self):
        while True:
            await self.something_to_send.wait()
            self.something_to_send.clear()
            for frame in self._frames():
                try:
                    await self.websocket.send(frame)
                except ConnectionClosed:
                    return  # `_read` learns how, after what still arrived.
                self.last_sent = asyncio.get_running_loop().time()

    def _frames(self):
        """Yields what waits, in as few frames as the server accepts."""
        largest = self.welcome["max_frame_bytes"] if self.welcome else 4_194_304
        while self.outgoing:
            frame, size = [], 0
            while self.outgoing:
                size += encoded_bytes(self.outgoing[0]) + 1
                if frame and size > largest:
                    break
                frame.append(self.outgoing.pop(0))
            yield self.codec.separator.join(frame)

    async def _read(self):
        while True:
            frame = await self.websocket.recv()
            self.last_heard = asyncio.get_running_loop().time()
            if isinstance(frame, str) != isinstance(self.codec.separator, str):
                raise Violation(4405)
            try:
                for message in self.codec.decode(SERVER, frame):
                    if not self.ended:
                        self._handle(message)
            except Malformed as error:
                raise Violation(4400) from error
            self.client.pump()

    def _handle(self, message):
        if isinstance(message, OnlyId):
            exchange = self.exchanges.pop(message.id, None)
            if exchange:
                exchange.fail(StreamgateError("PROTOCOL", "the reply cannot be decoded"))
            return
        ((name, content),) = message.items()
        if name == "ping":
            self.send({"pong": content})
        elif name == "pong":
            pass
        elif name == "auth":
            self.renewal.answered(content)
        elif name == "welcome":
            if self.welcome is None:
                self.welcome = content
                self.renewal.identified(content.get("identity"))
                self.welcomed.set()
        elif name == "backend":
            self.client.backend_changed(content["unavailable"])
        elif name == "reply":
            exchange = self.exchanges.pop(content["id"], None)
            if exchange:
                exchange.replied(content["outcome"])
        else:
            exchange = self.exchanges.get(content["id"])
            if exchange and name == "push":
                exchange.pushed(content["item"])
            elif exchange:
                exchange.positioned(content["last_id"])

    async def _heartbeat(self):
        """Returns when the client has to abandon the socket."""
        loop, pinged_at = asyncio.get_running_loop(), None
        self.last_sent = self.last_heard = loop.time()
        every = self.heartbeat_s
        while True:
            await asyncio.sleep(every / 8)
            now = loop.time()
            if pinged_at is not None and self.last_heard > pinged_at:
                pinged_at = None
            if now - self.last_sent >= limits.HEARTBEATS_UNTIL_DEAD * every:
                return
            if pinged_at is not None and now - pinged_at >= every:
                return
            silent = now - self.last_heard >= every and pinged_at is None
            if silent:
                pinged_at = now
            if silent or now - self.last_sent >= every * 7 / 8:
                self.send({"ping": {"nonce": 1}})


async def _first(reading, other, timeout=None):
    """Waits until one of two tasks has ended, and ends the other one."""
    await asyncio.wait({reading, other}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    other.cancel()


def stops(code):
    return code in _STOP or (4400 <= code <= 4499 and code not in _RECONNECT)


def encoded_bytes(data):
    return len(data.encode()) if isinstance(data, str) else len(data)


def _refused(response):
    after = response.headers.get("Retry-After", "0")
    return End(
        http=response.status_code,
        stop=response.status_code in _STOP_HTTP,
        retry_after_s=float(after) if after.isdigit() else 0.0,
    )
