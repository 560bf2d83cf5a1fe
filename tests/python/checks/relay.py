"""A TCP relay between a client and its server, whose connections a check can cut."""

import asyncio


class Relay:
    """Forwards connections; `cut` breaks them, `swallow` loses what the server sends."""

    def __init__(self, port):
        self.server_port = port
        self.pairs = []
        self.half_open = []
        self.listener = None
        self.swallows = False
        self.accepts = True

    async def __aenter__(self):
        self.listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self.listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.listener.close()
        self.cut()
        for writer in self.half_open:
            writer.transport.abort()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    def cut(self):
        """Breaks every connection, without a close frame."""
        for writers in self.pairs:
            for writer in writers:
                writer.transport.abort()
        self.pairs = []
        self.swallows = False

    def half_close(self):
        """Breaks the client's side of every connection; the server notices nothing."""
        for client, server in self.pairs:
            self.half_open.append(server)
            client.transport.abort()
        self.pairs = []

    def swallow(self):
        """From now on, what the server sends is lost until the next cut."""
        self.swallows = True

    async def _accept(self, reader, writer):
        if not self.accepts:
            return writer.transport.abort()
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            return writer.transport.abort()
        self.pairs.append((writer, up_writer))
        await asyncio.gather(
            self._forward(reader, up_writer, False), self._forward(up_reader, writer, True)
        )

    async def _forward(self, reader, writer, from_server):
        try:
            while data := await reader.read(65536):
                if not (from_server and self.swallows):
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            if writer not in self.half_open:
                writer.transport.abort()
