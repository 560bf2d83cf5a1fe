"""Starts the server under test, and stops it."""

import asyncio
import os
import signal
import socket
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = Path(os.environ.get("STREAMGATE_BIN", ROOT / "target" / "debug" / "streamgate"))
PATH = "/v1/ws"


class Redis:
    """A Redis server on a free port, which keeps what it has acknowledged when it is killed."""

    def __init__(self):
        named = os.environ.get("STREAMGATE_REDIS_7", ROOT / "target/tools/redis-7.0/redis-server")
        self.program = Path(named)
        self.folder = tempfile.TemporaryDirectory()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.kill()
        self.folder.cleanup()

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            self.program,
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder.name),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            stdout=asyncio.subprocess.PIPE,
        )
        while b"Ready to accept connections" not in (line := await self.process.stdout.readline()):
            assert line, f"{self.program} did not start"

    async def kill(self):
        self.process.kill()
        await self.process.wait()


class Server:
    """A server process on a free port of loopback, with its streams in memory."""

    def __init__(self, *arguments, port=0):
        self.arguments = arguments
        self.port = port
        self.process = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.kill()

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM,
            "serve",
            *("--listen", f"127.0.0.1:{self.port}", "--log", "error", *self.arguments),
            stdout=asyncio.subprocess.PIPE,
        )
        line = (await self.process.stdout.readline()).decode()
        assert line.startswith("streamgate listening on http://"), f"the server printed {line!r}"
        self.port = int(line.split("//")[1].split()[0].rsplit(":", 1)[1])

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}{PATH}"

    def shut_down(self):
        self.process.send_signal(signal.SIGTERM)

    async def kill(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
