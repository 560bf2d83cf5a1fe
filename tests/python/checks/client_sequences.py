"""Plays the transcripts of protocol/sequences/client against this client."""

import asyncio
import http
import json

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from streamgate import Client, Entry, Gap, Skipped, StreamgateError
from streamgate.codec import BINARY, CLIENT, ENCODINGS, JSON, SERVER, OnlyId

from .matching import Mismatch, Variables
from .server_sequences import LAST_NONCE, LONG_S, SEQUENCES

WELCOME = {
    "server": "runner/1",
    "features": [],
    "max_in_flight": 16384,
    "max_frame_bytes": 16777216,
    "heartbeat_ms": 15000,
}


class Runner:
    """A server that does what a transcript says, and an owner of the client under test."""

    def __init__(self, encoding):
        self.encoding = encoding
        self.variables = Variables()
        self.handshakes = asyncio.Queue()
        self.sockets = asyncio.Queue()
        self.token_requests = asyncio.Queue()
        self.socket = None
        self.client = None
        self.client_id = None
        self.received = []
        self.granted = {}
        self.calls = {}
        self.closing = None

    async def play(self, transcript):
        self.server = await serve(
            self._accepted,
            "127.0.0.1",
            0,
            subprotocols=[self.encoding.subprotocol],
            process_request=self._asked,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            max_size=None,
        )
        try:
            await self.steps(transcript["steps"])
            if not self.token_requests.empty():
                raise Mismatch("the client asks for a token after the last step")
            if self.socket:
                await self._send([{"ping": {"nonce": LAST_NONCE}}])
                message = await self.next()
                if message != {"pong": {"nonce": LAST_NONCE}}:
                    raise Mismatch(f"{message} arrived after the last step")
        finally:
            for call in self.calls.values():
                if isinstance(call, asyncio.Task):
                    call.cancel()
            await asyncio.gather(self.client.close(), *(() if not self.closing else [self.closing]))
            self.server.close()

    async def steps(self, steps):
        for number, step in enumerate(steps, 1):
            try:
                await asyncio.wait_for(getattr(self, step["step"])(step), LONG_S)
            except (Mismatch, ConnectionClosed, asyncio.TimeoutError) as error:
                raise Mismatch(f"step {number} ({step['step']}): {error!r}") from error

    # --- the server

    async def _asked(self, connection, _request):
        decision = asyncio.get_running_loop().create_future()
        await self.handshakes.put(decision)
        refusal = await decision
        if refusal is None:
            return None
        response = connection.respond(http.HTTPStatus(refusal["status"]), "refused\n")
        if "retry_after" in refusal:
            response.headers["Retry-After"] = str(refusal["retry_after"])
        return response

    async def _accepted(self, connection):
        await self.sockets.put(connection)
        await connection.wait_closed()

    async def accept(self, _step):
        (await self.handshakes.get()).set_result(None)
        self.socket = await self.sockets.get()
        self.received = []
        self.granted = {}
        assert self.socket.subprotocol == self.encoding.subprotocol, "another subprotocol"

    async def connect(self, step):
        await self.accept(step)
        message = await self.next()
        hello = message.get("hello")
        if hello is None:
            raise Mismatch(f"{message} arrived instead of hello")
        self.client_id = self.client_id or hello["client"]
        assert hello["client"] == self.client_id, "the client has another id"
        if hello.get("token") != step.get("token"):
            raise Mismatch(f"the token is {hello.get('token')}")
        assert 1 <= len(hello["client"]) <= 64 and hello["max_frame_bytes"] >= 65536
        await self._send([{"welcome": {**WELCOME, **step.get("welcome", {})}}])

    async def refuse(self, step):
        (await self.handshakes.get()).set_result(step)

    async def send(self, step):
        await self._send(self.variables.fill(step["messages"]))

    async def _send(self, messages):
        text = "\n".join(json.dumps(message) for message in messages)
        if self.encoding is JSON:
            return await self.socket.send(text)
        decoded = JSON.decode(SERVER, text)
        await self.socket.send(b"".join(BINARY.encode(SERVER, message) for message in decoded))

    async def send_raw(self, step):
        text, data = step["json"], step["binary"]
        if "id" in step:
            id = self.variables.fill(step["id"])
            text, data = text.replace("$id", str(id)), data.replace("$id", f"{id:02x}")
        content = text.encode() if self.encoding is JSON else bytes.fromhex(data)
        is_text = (self.encoding is JSON) != bool(step.get("other_type"))
        await self.socket.send(content, text=is_text)

    async def next(self):
        while not self.received:
            await self._receive()
        return self.received.pop(0)

    async def _receive(self):
        frame = await self.socket.recv()
        for message in self.encoding.decode(CLIENT, frame):
            if isinstance(message, OnlyId):
                raise Mismatch(f"the request {message.id} cannot be decoded")
            message = CLIENT.messages.to_json(message)
            ((name, content),) = message.items()
            if name in ("subscribe", "grant"):
                granted = self.granted.get(content["id"], 0)
                self.granted[content["id"]] = granted + content["credit"]["entries"]
            if name == "ping":
                await self._send([{"pong": content}])
            elif name != "grant":
                self.received.append(message)

    async def expect(self, step):
        messages = step["messages"]
        if step.get("any_order"):
            self.variables.match_any_order(messages, [await self.next() for _ in messages])
        else:
            for message in messages:
                self.variables.match(message, await self.next())

    async def expect_credit(self, step):
        id, more_than = self.variables.fill(step["id"]), self.variables.fill(step["more_than"])
        while self.granted.get(id, 0) <= more_than:
            await self._receive()

    async def expect_close(self, step):
        try:
            message = await self.next()
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            if code != step["code"]:
                raise Mismatch(f"the close code is {code}") from closed
            self.socket = None
        else:
            raise Mismatch(f"{message} arrived instead of the close")

    async def silence(self, step):
        waits = [asyncio.create_task(self.handshakes.get())]
        waits.append(asyncio.create_task(self.token_requests.get()))
        if self.socket:
            waits.append(asyncio.create_task(self.next()))
        done, _ = await asyncio.wait(
            waits, timeout=step["ms"] / 1000, return_when=asyncio.FIRST_COMPLETED
        )
        for wait in waits:
            wait.cancel()
        if done:
            raise Mismatch(f"{done.pop()} in silence")

    async def pause(self, step):
        await asyncio.sleep(step["ms"] / 1000)

    async def close(self, step):
        await self.socket.close(step["code"])
        self.socket = None

    async def cut(self, _step):
        self.socket.transport.abort()
        self.socket = None

    # --- the owner

    async def start(self, step):
        port = self.server.sockets[0].getsockname()[1]
        self.idempotent_adds = step.get("idempotent_adds", False)
        self.client = Client(
            f"ws://127.0.0.1:{port}/v1/ws",
            subprotocols=[self.encoding.subprotocol],
            token=self._token if step.get("token_source") else step.get("token"),
            max_reconnect_pause_s=0.1,
        )
        await self.client.__aenter__()

    async def _token(self, *, force):
        answer = asyncio.get_running_loop().create_future()
        await self.token_requests.put((force, answer))
        return await answer

    async def token_request(self, step):
        force, answer = await self.token_requests.get()
        if step.get("force", force) != force:
            raise Mismatch(f"force is {force}")
        if "error" in step:
            answer.set_exception(StreamgateError(step["error"], "no token"))
        else:
            answer.set_result(step["answer"])

    async def call(self, step):
        ((name, arguments),) = self.variables.fill(step["operation"]).items()
        if name == "add" and not self.idempotent_adds:
            name = "add_plain"
        call = self._call(name, arguments)
        self.calls[step["name"]] = asyncio.create_task(call)
        await asyncio.sleep(0)

    async def _call(self, name, arguments):
        value = await getattr(self.client, name)(**arguments)
        if name == "read":
            return value[0]
        if name == "claim":
            return dict(zip(("cursor", "entries", "deleted"), value))
        return value

    async def result(self, step):
        try:
            value = await asyncio.shield(self.calls[step["name"]])
        except StreamgateError as error:
            check_error(error, step)
        else:
            if "error" in step:
                raise Mismatch(f"{value!r} instead of {step['error']}")
            self.variables.match(step["ok"], shown(value))

    async def subscribe(self, step):
        ((name, arguments),) = self.variables.fill(step["subscription"]).items()
        if name == "tail":
            ((start, options),) = arguments["from"].items()
            loop = self.client.tail(arguments["stream"], *(options.values() or [start]))
        else:
            loop = self.client.consume(**arguments)
        await loop.__aenter__()
        self.calls[step["name"]] = loop
        await asyncio.sleep(0)

    async def take(self, step):
        for expected in step["items"]:
            item = await anext(self.calls[step["name"]])
            kind = {Entry: "entry", Gap: "gap", Skipped: "skipped"}[type(item)]
            content = shown(item) if kind == "entry" else item._asdict()
            self.variables.match(expected, {kind: content})

    async def end(self, step):
        try:
            item = await anext(self.calls[step["name"]])
        except StreamgateError as error:
            check_error(error, step)
        else:
            raise Mismatch(f"{item!r} instead of {step['error']}")

    async def cancel(self, step):
        call = self.calls[step["name"]]
        if isinstance(call, asyncio.Task):
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        else:
            await call.aclose()

    async def abort_client(self, _step):
        self.closing = asyncio.create_task(self.client.close())

    async def stopped(self, _step):
        await self.client.over()

    async def state(self, step):
        while self.client.state != step["state"]:
            await asyncio.sleep(0.005)

    async def repeat(self, step):
        for count in range(1, self.variables.fill(step["count"]) + 1):
            self.variables.values[step["variable"]] = count
            await self.steps(step["steps"])


def check_error(error, step):
    """Compares an error of the client with the one that a step expects."""
    expected = step.get("error"), step.get("retry_after_ms")
    if (error.code, error.retry_after_ms) != expected:
        raise Mismatch(f"{error!r} instead of {step}") from error


def shown(value):
    """Returns a result of the client as the transcripts show it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: shown(field) for key, field in value.items()}
    return [shown(item) for item in value] if isinstance(value, (list, tuple)) else value


def checks():
    """Yields a name and a coroutine function for each transcript and encoding."""
    for path in sorted((SEQUENCES / "client").glob("*.json")):
        transcript = json.loads(path.read_text())
        if "finishing_close" in transcript.get("needs", []):
            continue
        for name, encoding in ENCODINGS.items():
            label = f"client {path.stem} in {name.rsplit('.', 1)[1]}"
            yield label, lambda e=encoding, t=transcript: Runner(e).play(t)
