"""Plays the transcripts of protocol/sequences against a server."""

import asyncio
import json
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from streamgate.codec import BINARY, CLIENT, ENCODINGS, JSON, SERVER, OnlyId

from .matching import Mismatch, Variables, divided
from .server import Server

SEQUENCES = Path(__file__).parents[3] / "protocol" / "sequences"
LONG_S = 30
MAX_SERVER_FRAME_BYTES = 16842752
LAST_NONCE = 4_242_424_242


class Socket:
    """One socket of the runner, which answers pings by itself."""

    def __init__(self, websocket, encoding):
        self.websocket = websocket
        self.encoding = encoding
        self.received = []

    async def send(self, messages):
        await self.send_frame(frame(self.encoding, messages))

    async def send_frame(self, data, is_text=None):
        try:
            await self.websocket.send(data, text=is_text)
        except ConnectionClosed:
            pass  # The next step sees the close.

    async def next(self):
        return await asyncio.wait_for(self._next(), LONG_S)

    async def _next(self):
        while not self.received:
            data = await self.websocket.recv()
            if isinstance(data, str) != (self.encoding is JSON):
                raise Mismatch("a frame of the wrong type arrived")
            for message in self.encoding.decode(SERVER, data):
                if isinstance(message, OnlyId):
                    raise Mismatch(f"a reply to {message.id} cannot be decoded")
                if "ping" in message:
                    await self.send([{"pong": message["ping"]}])
                else:
                    self.received += divided(SERVER.messages.to_json(message))
        return self.received.pop(0)

    async def expect_ping(self, answer):
        assert not self.received, f"{self.received} arrived before a ping"
        data = await asyncio.wait_for(self.websocket.recv(), LONG_S)
        for message in self.encoding.decode(SERVER, data):
            if "ping" not in message:
                raise Mismatch(f"{message} arrived instead of a ping")
            if answer:
                await self.send([{"pong": message["ping"]}])

    async def expect_close(self, code):
        try:
            message = await self.next()
        except ConnectionClosed as closed:
            arrived = closed.rcvd.code if closed.rcvd else 1006
            if arrived != code:
                raise Mismatch(f"the close code is {arrived} instead of {code}") from closed
        else:
            raise Mismatch(f"{message} arrived instead of the close {code}")


def frame(encoding, messages):
    text = "\n".join(json.dumps(message) for message in messages)
    if encoding is JSON:
        return text
    return b"".join(BINARY.encode(CLIENT, message) for message in JSON.decode(CLIENT, text))


class Runner:
    def __init__(self, server, encoding):
        self.server = server
        self.encoding = encoding
        self.sockets = {}
        self.variables = Variables()

    async def play(self, transcript):
        try:
            await self.steps(transcript["steps"])
            for socket in self.sockets.values():
                await socket.send([{"ping": {"nonce": LAST_NONCE}}])
                message = await socket.next()
                if message != {"pong": {"nonce": LAST_NONCE}}:
                    raise Mismatch(f"{message} arrived after the last step")
        finally:
            for socket in self.sockets.values():
                await socket.websocket.close()

    async def steps(self, steps):
        for number, step in enumerate(steps, 1):
            try:
                await getattr(self, step["step"])(step)
            except (Mismatch, ConnectionClosed, asyncio.TimeoutError) as error:
                raise Mismatch(f"step {number} ({step['step']}): {error!r}") from error

    def socket(self, step):
        return self.sockets[step.get("socket", "a")]

    async def open(self, step):
        websocket = await connect(
            self.server.url,
            subprotocols=[self.encoding.subprotocol],
            compression=None,
            proxy=None,
            ping_interval=None,
            max_size=None,
        )
        assert websocket.subprotocol == self.encoding.subprotocol
        self.sockets[step.get("socket", "a")] = Socket(websocket, self.encoding)

    async def connect(self, step):
        await self.open(step)
        socket = self.socket(step)
        hello = {"client": "$_", "max_frame_bytes": MAX_SERVER_FRAME_BYTES, "features": []}
        hello["client"] = Variables().fill("$client")
        await socket.send([{"hello": hello}])
        welcome = (await socket.next())["welcome"]
        for name in ("max_in_flight", "max_frame_bytes", "heartbeat_ms"):
            self.variables.values[f"${name}"] = welcome[name]

    async def send(self, step):
        await self.socket(step).send(self.variables.fill(step["messages"]))

    async def send_raw(self, step):
        content = self.variables.fill(step["json" if self.encoding is JSON else "binary"])
        data = content.encode() if self.encoding is JSON else bytes.fromhex(content)
        is_text = (self.encoding is JSON) != bool(step.get("other_type"))
        await self.socket(step).send_frame(data, is_text)

    async def expect(self, step):
        socket = self.socket(step)
        if step.get("any_order"):
            received = [await socket.next() for _ in step["messages"]]
            self.variables.match_any_order(step["messages"], received)
        else:
            for message in step["messages"]:
                self.variables.match(message, await socket.next())

    async def expect_ping(self, step):
        await self.socket(step).expect_ping(step["answer"])

    async def expect_close(self, step):
        await self.socket(step).expect_close(step["code"])
        del self.sockets[step.get("socket", "a")]

    async def close(self, step):
        await self.sockets.pop(step.get("socket", "a")).websocket.close(step["code"])

    async def shut_down(self, _step):
        self.server.shut_down()

    async def repeat(self, step):
        for count in range(1, step["count"] + 1):
            self.variables.values[step["variable"]] = count
            await self.steps(step["steps"])


def arguments_of(transcript):
    """The arguments of a server of its own, or `None` if the transcript needs none."""
    if "heartbeat_ms" in transcript:
        return ["--heartbeat-ms", str(transcript["heartbeat_ms"])]
    if any(step["step"] == "shut_down" for step in transcript["steps"]):
        return ["--drain-ms", "0"]
    return None


async def play(shared, encoding, transcript):
    arguments = arguments_of(transcript)
    if arguments is None:
        return await Runner(shared, encoding).play(transcript)
    async with Server(*arguments) as own:
        return await Runner(own, encoding).play(transcript)


def checks(server):
    """Yields a name and a coroutine function for each transcript and encoding."""
    for path in sorted(SEQUENCES.glob("*.json")):
        transcript = json.loads(path.read_text())
        if transcript["under_test"] != "server":
            continue
        for name, encoding in ENCODINGS.items():
            label = f"{path.stem} in {name.rsplit('.', 1)[1]}"
            yield label, lambda e=encoding, t=transcript: play(server, e, t)
