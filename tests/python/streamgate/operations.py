"""The operations, and what becomes of each after a loss: SPEC.md, section 11.2."""

import asyncio

from .entries import Entry
from .errors import Expired, Lost, Stopped, StreamgateError
from .pauses import RetryPause

# Whether the operation is sent again, and whether it changes something.
_SENT_AGAIN = {
    "read_latest": True,
    "read_pending": True,
    "pending_summary": True,
    "pending": True,
    "consumers": True,
    "read": True,
    "ack": True,
    "add": False,
    "create_group": False,
    "claim": False,
    "remove_consumer": False,
}
_CHANGES = {
    "ack",
    "add",
    "claim",
    "consume",
    "create_group",
    "read_group",
    "remove_consumer",
}


def ended(name, sent, error):
    """The error of a request that ends without a reply; `error` if nothing was changed."""
    if sent and name in _CHANGES:
        return StreamgateError("UNKNOWN_OUTCOME", f"the answer of {name} was lost")
    return error


class Wait:
    """The `block_ms` of a request, of which less is left after each loss."""

    def __init__(self, block_ms):
        self.block_ms = block_ms
        self.began = None

    def left(self):
        now = asyncio.get_running_loop().time()
        self.began = self.began or now
        if not self.block_ms:
            return self.block_ms
        return max(0, self.block_ms - int((now - self.began) * 1000)) or None


class Operations:
    async def _call(self, name, build, consumer=None, on_position=None):
        """Performs an operation that needs no recovery, and returns the reply."""
        order, sent, pause = self.next_order(), False, RetryPause()

        def message(id):
            nonlocal sent
            sent = True
            return {"request": {"id": id, "operation": {name: build()}}}

        while True:
            was_sent = sent
            exchange = self.new_exchange(
                message, order, consumer=consumer, on_position=on_position
            )
            try:
                return await self.exchange(exchange, self.retry_time_s)
            except Lost:
                if not _SENT_AGAIN[name]:
                    raise ended(name, True, None) from None
                pause.reset()
            except Expired:
                raise ended(name, sent, self.why_unsent()) from None
            except Stopped:
                raise ended(name, sent, self.stopped) from None
            except StreamgateError as fault:
                again = fault.retry == "unknown" or (fault.retry == "later" and was_sent)
                if not again or not _SENT_AGAIN[name]:
                    raise
                if pause.failures == 0:
                    deadline = asyncio.get_running_loop().time() + self.retry_time_s
                if asyncio.get_running_loop().time() >= deadline:
                    raise ended(name, sent, fault) from fault
                await asyncio.sleep(pause.next(fault))

    async def add(self, stream, fields, maxlen=None):
        """Adds an entry exactly once, and returns its id."""
        return await self.producer(stream).add(list(fields), maxlen)

    async def add_plain(self, stream, fields, maxlen=None):
        """Adds an entry without a number: after a loss, the outcome is unknown."""
        operation = {"stream": stream, "fields": list(fields), "maxlen": maxlen}
        return (await self._call("add", lambda: operation))["added"]["id"]

    async def read_latest(self, stream, count):
        reply = await self._call("read_latest", lambda: {"stream": stream, "count": count})
        return entries_of(reply["entries"])

    async def read(self, stream, last_id, count=0, block_ms=None):
        """Returns the entries after an id, and the id to read on from."""
        wait = Wait(block_ms)

        def build():
            return {
                "stream": stream,
                "last_id": last_id,
                "count": count,
                "block_ms": wait.left(),
            }

        def positioned(id):
            nonlocal last_id
            last_id = id

        reply = (await self._call("read", build, on_position=positioned))["entries"]
        return entries_of(reply), reply["last_id"]

    async def create_group(self, stream, group, id="$"):
        await self._call("create_group", lambda: {"stream": stream, "group": group, "id": id})

    async def read_group(self, stream, group, consumer, count=0, block_ms=None):
        """Returns entries that are then pending for the consumer."""
        state = self.group_consumers.get(stream, group, consumer)
        return await state.read_group(count, Wait(block_ms))

    async def ack(self, stream, group, ids):
        ids = list(ids)
        reply = await self._call("ack", lambda: {"stream": stream, "group": group, "ids": ids})
        self.group_consumers.acknowledged(stream, group, ids)
        return reply["acknowledged"]["count"]

    async def read_pending(self, stream, group, consumer, after="0-0", count=0, exclude=()):
        operation = {
            "stream": stream,
            "group": group,
            "consumer": consumer,
            "after": after,
            "count": count,
            "except": list(exclude),
        }
        reply = (await self._call("read_pending", lambda: operation))["entries"]
        return entries_of(reply), reply["more"]

    async def pending_summary(self, stream, group):
        reply = await self._call("pending_summary", lambda: {"stream": stream, "group": group})
        return reply["summary"]

    async def pending(
        self, stream, group, start="-", end="+", count=100, consumer=None, min_idle_ms=None
    ):
        operation = {
            "stream": stream,
            "group": group,
            "start": start,
            "end": end,
            "count": count,
            "consumer": consumer,
            "min_idle_ms": min_idle_ms,
        }
        return (await self._call("pending", lambda: operation))["pending"]["entries"]

    async def claim(self, stream, group, consumer, min_idle_ms, start="0-0", count=100):
        """Returns the cursor of the next claim, the claimed entries, and the deleted ids."""
        operation = {
            "stream": stream,
            "group": group,
            "consumer": consumer,
            "min_idle_ms": min_idle_ms,
            "start": start,
            "count": count,
        }
        state = self.group_consumers.get(stream, group, consumer)
        finds, session = 0, None

        def build():
            nonlocal finds, session
            finds, session = state.finds, self.session
            return operation

        try:
            claimed = (await self._call("claim", build, state))["claimed"]
        except StreamgateError as fault:
            if fault.entry is not None:
                state.remember([fault.entry])
            if fault.retry == "unknown" or fault.entry is not None:
                state.recovery_is_due()
            raise
        if claimed["more"]:
            state.recovery_is_due()
        entries = state.claimed(entries_of(claimed), session, finds)
        return claimed["cursor"], entries, claimed["deleted"]

    async def remove_consumer(self, stream, group, consumer, new_owner):
        operation = {
            "stream": stream,
            "group": group,
            "consumer": consumer,
            "new_owner": new_owner,
        }
        reply = await self._call("remove_consumer", lambda: operation)
        return reply["removed"]["handed_over"]

    async def consumers(self, stream, group):
        reply = await self._call("consumers", lambda: {"stream": stream, "group": group})
        return reply["consumers"]["consumers"]


def entries_of(record):
    return [Entry(id, fields) for id, fields in record["entries"]]
