"""The client: it connects, reconnects, and sends requests and subscriptions."""

import asyncio
import heapq
import itertools
import secrets

from . import limits
from .codec import BINARY, ENCODINGS
from .consumer import Consumers
from .errors import Expired, Stopped, StreamgateError
from .exchange import Exchange
from .operations import Operations
from .pauses import ReconnectPause
from .producer import Producer
from .session import Session
from .subscriptions import Subscriptions
from .tokens import Tokens


class Client(Operations, Subscriptions):
    """Redis Streams over one WebSocket, which reconnects by itself.

    `async with Client(url) as client:` closes it at the end. `subprotocols` are those that the
    client offers. A `str` in the place of a name or value means its UTF-8.

    `token` is a text, or an async function with one argument, `force`, that returns one. An error
    NOAUTH of it means that nobody is signed in.
    """

    def __init__(
        self,
        *urls,
        subprotocols=(BINARY.subprotocol,),
        client_id=None,
        token=None,
        max_frame_bytes=limits.MAX_SERVER_FRAME_BYTES,
        connect_timeout_s=limits.CONNECT_TIMEOUT_S,
        token_timeout_s=limits.TOKEN_TIMEOUT_S,
        retry_time_s=limits.RETRY_TIME_S,
        max_reconnect_pause_s=limits.MAX_RECONNECT_PAUSE_S,
    ):
        self.urls = itertools.cycle(urls)
        self.encodings = {name: ENCODINGS[name] for name in subprotocols}
        self.client_id = client_id or secrets.token_urlsafe(16)
        self.tokens = Tokens(token, urls, token_timeout_s)
        self.max_frame_bytes = max_frame_bytes
        self.connect_timeout_s = connect_timeout_s
        self.retry_time_s = retry_time_s
        self.reconnect_pause = ReconnectPause(max_reconnect_pause_s)
        self.backend = None
        self.session = None
        self.stopped = None
        self.end = None
        self.close_code = None
        self.sockets = 0
        self.group_consumers = Consumers(self)
        self.producers = {}
        self.tasks = set()
        self._waiting = []
        self._orders = itertools.count()
        self._names = itertools.count()
        self._ready = asyncio.Event()
        self._over = asyncio.Event()
        self._engine = None

    async def __aenter__(self):
        self._engine = asyncio.create_task(self._run_until_stopped())
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def ready(self):
        """Waits until the client is connected; raises if it stopped."""
        done = asyncio.create_task(self._over.wait()), asyncio.create_task(self._ready.wait())
        await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.cancel()
        if self.stopped:
            raise self.stopped

    @property
    def state(self):
        """`open`, `degraded` while the server has no backend, or `reconnecting`."""
        if self.session is None:
            return "reconnecting"
        return "degraded" if self.backend else "open"

    async def over(self):
        """Waits until the client has stopped, and returns the error."""
        await self._over.wait()
        return self.stopped

    async def close(self):
        """Ends every request, and closes the socket with 1000."""
        session = self.session
        self._stop(StreamgateError("CLOSED", "the client was closed"))
        if session and not session.ended:
            session.ended = True
            await session.close(1000)
        if self._engine:
            self._engine.cancel()
            await asyncio.gather(self._engine, *self.tasks, return_exceptions=True)

    # --- sockets

    def hello(self, token):
        hello = {"client": self.client_id, "max_frame_bytes": self.max_frame_bytes, "features": []}
        return hello if token is None else {**hello, "token": token}

    async def sign_out(self, error):
        """Stops, because the owner has no token any more, and closes the socket with 1000."""
        session = self.session
        self._stop(error)
        if session and not session.ended:
            session.ended = True
            await session.close(1000)

    async def _run_until_stopped(self):
        try:
            await self._run()
        except Exception as error:
            self._stop(StreamgateError("INTERNAL", repr(error)))
            raise

    async def _run(self):
        pause, loop = self.reconnect_pause, asyncio.get_running_loop()
        while not self.stopped:
            token, retry = await self._token()
            if self.stopped:
                return
            if retry:
                await asyncio.sleep(pause.next(0.0))
                continue
            session = Session(self, next(self.urls), token)
            end = await session.run()
            has_lasted = (
                self.session is session and loop.time() - self._since >= limits.STABLE_AFTER_S
            )
            if has_lasted:
                pause.reset()
            if self.stopped:
                return
            self.end = end
            self.close_code = end.code or self.close_code
            self._disconnected(session, end)
            has_other_token = self.tokens.may_have_another(end.code, has_lasted)
            if end.stop and not has_other_token:
                return self._stop(end.error())
            await asyncio.sleep(pause.next(end.retry_after_s))

    async def _token(self):
        """Returns a token for the next socket, and whether to ask again later."""
        try:
            return await self.tokens.for_hello(), False
        except StreamgateError as error:
            if error.code == "NOAUTH":
                self._stop(error)
            return None, True
        except Exception:
            return None, True

    def connected(self, session):
        self.session = session
        self.sockets += 1
        self._since = asyncio.get_running_loop().time()
        self.backend_changed(None)
        self._ready.set()
        self.group_consumers.connected()
        self.pump()

    def _disconnected(self, session, end):
        self._ready.clear()
        self.session = None
        lost = sorted(session.exchanges.values())
        session.exchanges = {}
        if end.look_again and session.welcome:
            consumers = {exchange.consumer for exchange in lost} - {None}
            self.group_consumers.look_again(consumers, session.heartbeat_s)
        for exchange in lost:
            exchange.lost()

    def _stop(self, error):
        if self.stopped:
            return
        self.stopped = error
        self._over.set()
        exchanges = list(self._waiting)
        if self.session:
            exchanges += self.session.exchanges.values()
        self._waiting = []
        for exchange in exchanges:
            exchange.fail(Stopped())
        for producer in self.producers.values():
            producer.stop()
        for task in self.tasks:
            task.cancel()

    def backend_changed(self, fault):
        self.backend = StreamgateError(**fault) if fault else None

    # --- exchanges

    def next_order(self):
        return next(self._orders)

    def submit(self, exchange):
        """Sends an exchange in its order, as soon as a socket takes it."""
        if self.stopped:
            exchange.fail(Stopped())
        else:
            heapq.heappush(self._waiting, exchange)
            # Later, so that what is submitted together is sent in order, in one frame.
            asyncio.get_running_loop().call_soon(self.pump)

    def pump(self):
        session = self.session
        while self._waiting and session and not session.ended:
            if self._waiting[0].done:
                heapq.heappop(self._waiting)
            elif len(session.exchanges) < session.welcome["max_in_flight"]:
                session.begin(heapq.heappop(self._waiting))
            else:
                return

    def withdraw(self, exchange):
        """Ends an exchange whose outcome nobody awaits: cancels it if it was sent."""
        if exchange.session:
            exchange.session.cancel(exchange)
        exchange.future.cancel()

    async def exchange(self, exchange, retry_time_s=None):
        """Submits an exchange and returns the reply; fails after a time without a socket."""
        self.submit(exchange)
        try:
            if retry_time_s is not None and not exchange.done and exchange.session is None:
                done, _ = await asyncio.wait({exchange.future}, timeout=retry_time_s)
                if not done and exchange.session is None:
                    raise Expired
            return await asyncio.shield(exchange.future)
        finally:
            if not exchange.done:
                self.withdraw(exchange)

    def why_unsent(self):
        """Returns the error of a request that was not sent in its retry time."""
        if self.session is None:
            return StreamgateError("DISCONNECTED", "no connection in time")
        return StreamgateError("OVERLOADED", "too many requests are in flight")

    def new_exchange(self, build, order=None, **options):
        return Exchange(self.next_order() if order is None else order, build, **options)

    def spawn(self, coroutine):
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def producer(self, stream):
        stream = stream.encode() if isinstance(stream, str) else bytes(stream)
        if stream not in self.producers:
            self.producers[stream] = Producer(self, stream)
        return self.producers[stream]

    def next_producer_name(self):
        name = f"{self.client_id}-{next(self._names)}"
        return name if len(name) <= limits.MAX_CLIENT_ID_BYTES else secrets.token_urlsafe(24)
