"""Subscriptions as asynchronous iterators: tails and consumers, with credit."""

import asyncio
from collections import deque

from . import limits
from .entries import Gap, Skipped, id_key, size_of
from .errors import Lost, Stopped, StreamgateError
from .operations import ended, entries_of
from .pauses import RetryPause


class Subscriptions:
    def tail(self, stream, start="now", window=limits.WINDOW_ENTRIES, window_bytes=None):
        """Iterates over `Entry`, `Gap` and `Skipped`.

        `start` is `"beginning"`, `"now"`, an id to continue after, or a number: the last entries.
        """
        if start in ("beginning", "now"):
            start = {start: {}}
        elif isinstance(start, int):
            start = {"last": {"count": start}}
        else:
            start = {"after": {"id": start}}
        return Tail(self, stream, start, window, window_bytes or limits.WINDOW_BYTES)

    def consume(
        self, stream, group, consumer, batch=limits.WINDOW_ENTRIES, window_bytes=None, **options
    ):
        """Iterates over `Entry` and `Skipped`, which are pending until `ack`.

        Options: `claim_after_ms`, `max_deliveries` and `dead_letter`, `create_from`.
        """
        return Consume(
            self, stream, group, consumer, batch, window_bytes or limits.WINDOW_BYTES, options
        )


class Subscription:
    """A queue that the server fills as far as its reader makes room."""

    def __init__(self, client, window, window_bytes):
        self.client = client
        self.window = (window, window_bytes)
        self.queue = deque()
        self.queued = [0, 0]
        self.outstanding = [0, 0]
        self.exchange = None
        self.error = None
        self.task = None
        self.changed = asyncio.Event()
        self.pause = RetryPause()
        self.sent = False

    def __aiter__(self):
        return self

    async def __aenter__(self):
        self._start()
        return self

    async def __aexit__(self, *_):
        await self.aclose()

    async def __anext__(self):
        self._start()
        while not self.queue:
            if self.error:
                raise self.error
            self.changed.clear()
            await self.changed.wait()
        item = self.queue.popleft()
        self._count(self.queued, item, -1)
        self._grant()
        self.changed.set()
        return item

    async def aclose(self):
        """Ends the subscription."""
        if self.task and not self.task.done():
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self._end(StreamgateError("CLOSED", "the subscription was closed"))

    def _start(self):
        if self.task is None and self.error is None:
            self.order = self.client.next_order()
            self.task = self.client.spawn(self._run())

    def _end(self, error):
        self.error = self.error or error
        self.changed.set()

    async def _run(self):
        try:
            await self._subscribe_again_and_again()
        except StreamgateError as error:
            self._end(error)
        except Stopped:
            self._end(ended(self.name, self.sent, self.client.stopped))
        except asyncio.CancelledError:
            self._end(self.client.stopped or StreamgateError("CLOSED"))
            raise

    async def _subscribe_again_and_again(self):
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._before()
                self.exchange = self.client.new_exchange(
                    self._message, self.order, on_push=self._pushed, consumer=self.consumer
                )
                await self.client.exchange(self.exchange)
                raise StreamgateError("PROTOCOL", "a subscription was answered without an error")
            except Lost:
                self._lost()
            except StreamgateError as fault:
                if fault.retry == "never" or fault.code == "OVERLOADED":
                    raise
                if asyncio.get_running_loop().time() - began >= limits.STABLE_AFTER_S:
                    self.pause.reset()
                if not self.client.backend and self.pause.failures >= limits.MAX_FAILURES:
                    raise
                self._failed(fault)
                await asyncio.sleep(self.pause.next(fault))

    consumer = None

    async def _before(self):
        """Does what has to be done before the subscription is sent."""

    def _lost(self):
        """Notes that the socket ended."""

    def _failed(self, fault):
        """Notes that the server ended the subscription, and may take it again."""

    def _message(self, id):
        self.sent = True
        credit = [max(0, whole - queued) for whole, queued in zip(self.window, self.queued)]
        self.outstanding = list(credit)
        return {
            "subscribe": {
                "id": id,
                "subscription": self._subscription(),
                "credit": {"entries": credit[0], "bytes": credit[1]},
            }
        }

    def _count(self, account, item, sign):
        for part, size in enumerate(size_of(item)):
            account[part] += sign * size

    def _put(self, item):
        self.queue.append(item)
        self._count(self.queued, item, 1)
        self.changed.set()

    def _grant(self):
        """Grants what the reader has made room for, once that is half a window."""
        exchange = self.exchange
        if exchange is None or exchange.done or exchange.session is None:
            return
        missing = [
            whole - queued - outstanding
            for whole, queued, outstanding in zip(self.window, self.queued, self.outstanding)
        ]
        if not any(part > 0 and part * 2 >= whole for part, whole in zip(missing, self.window)):
            return
        entries, size = (max(0, part) for part in missing)
        self.outstanding = [self.outstanding[0] + entries, self.outstanding[1] + size]
        grant = {"id": exchange.id, "credit": {"entries": entries, "bytes": size}}
        exchange.session.send({"grant": grant})

    def _pushed(self, item):
        ((name, content),) = item.items()
        if name == "entries":
            entries = entries_of(content)
            for entry in entries:
                self._count(self.outstanding, entry, -1)
            self._entries(entries, content["position"])
            if not entries:
                return
        elif name == "gap":
            self._gap(Gap(**content))
        else:
            skipped = Skipped(**content)
            self._count(self.outstanding, skipped, -1)
            self._skipped(skipped)
        self.pause.reset()
        # What a recovery found before was dropped, and makes room at once.
        self._grant()


class Tail(Subscription):
    """The entries of a stream after a start; `position` is where another tail continues."""

    name = "tail"

    def __init__(self, client, stream, start, window, window_bytes):
        super().__init__(client, window, window_bytes)
        self.stream = stream
        self.start = start
        self.arrived_position = None
        self.position = None

    def _subscription(self):
        start = self.start
        if self.arrived_position is not None:
            start = {"after": {"id": self.arrived_position}}
        return {"tail": {"stream": self.stream, "from": start}}

    async def __anext__(self):
        item = await super().__anext__()
        self.position = item.position if isinstance(item, Gap) else item.id
        return item

    def _entries(self, entries, position):
        for entry in entries:
            self._put(entry)
        self.arrived_position = position or (entries[-1].id if entries else None)
        if not self.queue:
            self.position = self.arrived_position

    def _gap(self, gap):
        self.arrived_position = gap.position
        self._put(gap)

    def _skipped(self, skipped):
        self.arrived_position = skipped.id
        self._put(skipped)


class Consume(Subscription):
    """The entries of a group that are delivered to one consumer."""

    name = "consume"

    def __init__(self, client, stream, group, consumer, batch, window_bytes, options):
        super().__init__(client, min(batch, limits.WINDOW_ENTRIES), window_bytes)
        self.consumer = client.group_consumers.get(stream, group, consumer)
        self.names = {"stream": stream, "group": group, "consumer": consumer}
        self.batch = batch
        self.options = options
        self.resumed = None
        self.has_position = options.get("create_from") == "$"
        self.position = None
        self.pushes = 0

    def _start(self):
        if self.task is None and self.error is None:
            self.consumer.sinks.append(self)
        super()._start()

    def _end(self, error):
        super()._end(error)
        if self in self.consumer.sinks:
            self.consumer.sinks.remove(self)

    async def aclose(self):
        was_live = self in self.consumer.sinks
        await super().aclose()
        # What was on its way, or was never read, is found by the next read of this consumer.
        self.consumer.must_recover |= was_live or bool(self.queue)
        self.consumer.forget(item.id for item in self.queue)
        self.queue.clear()

    async def _before(self):
        if not self.consumer.must_recover:
            return
        try:
            await self.consumer.recover(self, self.order)
        except StreamgateError as fault:
            if fault.code != "NOGROUP" or self.options.get("create_from") is None:
                raise
            self.consumer.must_recover = False
            self.consumer.forget_all()
        self.resumed = True if self.options.get("claim_after_ms") else None

    def _lost(self):
        self.consumer.must_recover = True

    def _failed(self, fault):
        if fault.retry == "unknown" or self.options.get("claim_after_ms"):
            self.consumer.must_recover = True

    def _subscription(self):
        consume = {**self.names, "batch": self.batch, **self.options}
        if self.resumed:
            consume["resumed"] = True
        if self.has_position:
            consume["position"] = self.position
        self.pushes = 0
        return {"consume": consume}

    def _entries(self, entries, position):
        if not entries and self.pushes:
            self.consumer.forget_all()
        self.pushes += 1
        self.position = position or (entries[-1].id if entries else self.position)
        for entry in self.consumer.arrived(entries, self.exchange.session):
            self._put(entry)

    def _skipped(self, skipped):
        for item in self.consumer.arrived([skipped], self.exchange.session):
            self._put(item)

    # --- as the sink of a recovery

    retry_time_s = None

    async def room(self):
        while self.queued[0] >= self.window[0] or self.queued[1] >= self.window[1]:
            self.changed.clear()
            await self.changed.wait()
        return self.window[0] - self.queued[0]

    def take(self, entry):
        if self.position and id_key(entry.id) > id_key(self.position):
            self.position = entry.id
        self._put(entry)

    def take_skipped(self, skipped):
        self._put(skipped)
        return True

