"""Consumers of groups, and the recovery of deliveries that were lost.

SPEC.md, sections 11.3 and 11.4.
"""

import asyncio
from collections import OrderedDict

from . import limits
from .entries import Skipped, id_key
from .errors import Expired, Lost, Stopped, StreamgateError
from .operations import ended, entries_of
from .pauses import RetryPause


def _bytes(name):
    return name.encode() if isinstance(name, str) else bytes(name)


class Consumers:
    """The consumers that a client remembers."""

    def __init__(self, client):
        self.client = client
        self.states = OrderedDict()
        self.late = []

    def get(self, stream, group, consumer):
        key = (_bytes(stream), _bytes(group), _bytes(consumer))
        if key not in self.states:
            self._make_room()
            self.states[key] = Consumer(self.client, *key)
        self.states.move_to_end(key)
        return self.states[key]

    def _make_room(self):
        if len(self.states) >= limits.REMEMBERED_CONSUMERS:
            for key, state in self.states.items():
                if not state.in_use():
                    del self.states[key]
                    return

    def acknowledged(self, stream, group, ids):
        key = (_bytes(stream), _bytes(group))
        for state in self.states.values():
            if (state.stream, state.group) == key:
                state.acknowledged(ids)

    def look_again(self, states, heartbeat_s):
        """Plans a late recovery, which begins a while after the next welcome."""
        if states:
            pause = limits.HEARTBEATS_UNTIL_DEAD * heartbeat_s + limits.LATE_RECOVERY_MARGIN_S
            self.late.append((states, pause))

    def connected(self):
        late, self.late = self.late, []
        for states, pause in late:
            self.client.spawn(self._late(states, pause))

    async def _late(self, states, pause):
        await asyncio.sleep(pause)
        await asyncio.gather(*(state.recover_beside() for state in states))


class Found(Exception):
    """A late recovery found entries for a waiting `read_group`."""


class Consumer:
    def __init__(self, client, stream, group, consumer):
        self.client = client
        self.stream = stream
        self.group = group
        self.consumer = consumer
        self.names = {"stream": stream, "group": group, "consumer": consumer}
        self.received = {}
        self.floor = "0-0"
        self.must_recover = False
        self.recovering = asyncio.Lock()
        self.acknowledged_meanwhile = set()
        self.found = OrderedDict()
        self.finds = 0
        self.beside = None
        self.sinks = []
        self.waits = []

    def in_use(self):
        return self.sinks or self.waits or self.must_recover or self.recovering.locked()

    # --- what the owner has received

    def remember(self, ids):
        for id in ids:
            self.received[id] = True
        excess = len(self.received) - limits.REMEMBERED_DELIVERIES
        if excess > 0:
            for id in sorted(self.received, key=id_key)[:excess]:
                del self.received[id]
                self.floor = max(self.floor, id, key=id_key)

    def forget_all(self):
        """Forgets what the owner received, because the group was created again."""
        self.received = {}
        self.found.clear()
        self.floor = "0-0"

    def forget(self, ids):
        for id in ids:
            self.received.pop(id, None)

    def acknowledged(self, ids):
        if self.recovering.locked():
            self.acknowledged_meanwhile.update(ids)
        else:
            self.forget(ids)

    def arrived(self, items, session):
        """Returns the items that no recovery has found before, on this socket."""
        return self._new(items, session, 0)

    def claimed(self, entries, session, finds):
        """As `arrived`: a claim brings again what was received before it was sent."""
        return self._new(entries, session, finds)

    def _new(self, items, session, finds):
        new = []
        for item in items:
            found_on, number = self.found.pop(item.id, (None, 0))
            if found_on is not session or number <= finds:
                new.append(item)
        self.remember(item.id for item in new)
        return new

    def _found(self, id):
        self.finds += 1
        self.found[id] = (self.client.session, self.finds)
        if len(self.found) > limits.REMEMBERED_DELIVERIES:
            self.found.popitem(last=False)
        self.remember([id])

    # --- recovery

    def recovery_is_due(self):
        """Looks for lost entries, at once if something waits for entries of this consumer."""
        self.must_recover = True
        in_flight = [sink.exchange for sink in self.sinks] + self.waits
        waiting = any(one and one.session and not one.done for one in in_flight)
        if waiting and (self.beside is None or self.beside.done()):
            self.beside = self.client.spawn(self.recover_beside())

    async def recover(self, sink, order=None):
        """Hands what is pending and was not received to a sink, as far as it has room."""
        async with self.recovering:
            try:
                await self._recover(sink, order)
            except BaseException:
                self.must_recover = True
                raise
            finally:
                self.forget(self.acknowledged_meanwhile)
                self.acknowledged_meanwhile = set()

    async def _recover(self, sink, order):
        pause = RetryPause()
        while True:
            room = await sink.room()
            if room is None:
                self.must_recover = True
                return
            # Set again by whatever is lost while this read is in flight.
            self.must_recover = False
            try:
                entries, more = await self._read_pending(room, order, sink.retry_time_s)
            except Lost:
                continue
            except StreamgateError as fault:
                if fault.code == "LIMIT" and fault.entry is not None:
                    if sink.take_skipped(Skipped(fault.entry, None, "size")):
                        self._found(fault.entry)
                        continue
                    self.must_recover = True
                    return
                if fault.retry == "never":
                    raise
                await asyncio.sleep(pause.next(fault))
                continue
            pause.reset()
            for entry in entries:
                if entry.id not in self.received and id_key(entry.id) > id_key(self.floor):
                    self._found(entry.id)
                    sink.take(entry)
            if not entries and not more and not self.must_recover:
                return

    async def _read_pending(self, count, order, retry_time_s):
        operation = {
            **self.names,
            "after": self.floor,
            "count": count,
            "except": list(self.received),
        }
        exchange = self.client.new_exchange(
            lambda id: {"request": {"id": id, "operation": {"read_pending": operation}}},
            order,
            consumer=self,
        )
        reply = (await self.client.exchange(exchange, retry_time_s))["entries"]
        return entries_of(reply), reply["more"]

    async def recover_beside(self):
        """Recovers beside the requests that are in flight, and hands over through them."""
        sink = LateSink(self)
        try:
            await self.recover(sink)
        except (StreamgateError, Stopped):
            pass  # The next read of this consumer begins with a recovery.

    # --- read_group

    async def read_group(self, count, wait):
        order, sent, pause = self.client.next_order(), False, RetryPause()
        give_up = asyncio.get_running_loop().time() + self.client.retry_time_s
        while True:
            try:
                if self.must_recover:
                    entries = await self._recover_for_read(count, order)
                    if entries:
                        return entries
                entries = await self._read_group_once(count, wait, order)
                if entries is not None:
                    return entries
            except Lost:
                sent = self.must_recover = True
                pause.reset()
                give_up = asyncio.get_running_loop().time() + self.client.retry_time_s
            except Stopped:
                raise ended("read_group", sent or wait.began, self.client.stopped) from None
            except Expired:
                raise ended("read_group", sent, self.client.why_unsent()) from None
            except StreamgateError as fault:
                late = asyncio.get_running_loop().time() >= give_up
                if fault.retry == "unknown" or (fault.retry == "later" and sent):
                    if late:
                        raise ended("read_group", True, None) from fault
                    sent = True
                    self.must_recover |= fault.retry == "unknown"
                    await asyncio.sleep(pause.next(fault))
                    continue
                if fault.entry is not None:
                    # The entry is too large for this client; the next read finds those after it.
                    self.remember([fault.entry])
                    self.recovery_is_due()
                raise

    async def _recover_for_read(self, count, order):
        sink = ReadSink(count, self.client.retry_time_s)
        await self.recover(sink, order)
        if sink.skipped and not sink.entries:
            text = f"the entry {sink.skipped.id} is too large for this client"
            raise StreamgateError("LIMIT", text, entry=sink.skipped.id)
        return sink.entries

    async def _read_group_once(self, count, wait, order):
        operation = {**self.names, "count": count}

        def message(id):
            operation["block_ms"] = wait.left()
            return {"request": {"id": id, "operation": {"read_group": operation}}}

        exchange = self.client.new_exchange(message, order, consumer=self)
        self.waits.append(exchange)
        try:
            reply = (await self.client.exchange(exchange, self.client.retry_time_s))["entries"]
        except Found as found:
            self.must_recover = True
            return found.args[0]
        except asyncio.CancelledError:
            self.must_recover |= exchange.session is not None
            raise
        finally:
            self.waits.remove(exchange)
        if reply["more"]:
            self.recovery_is_due()
        entries = self.arrived(entries_of(reply), exchange.session)
        # The owner has all of it from a recovery: the read goes on.
        return None if reply["entries"] and not entries else entries


class ReadSink:
    """The result of one `read_group`."""

    def __init__(self, count, retry_time_s):
        self.count = count
        self.retry_time_s = retry_time_s
        self.entries = []
        self.skipped = None

    async def room(self):
        # The first reply with entries is the result; the next read finds what is left.
        return None if self.skipped or self.entries else self.count

    def take(self, entry):
        self.entries.append(entry)

    def take_skipped(self, skipped):
        if self.entries:
            return False
        self.skipped = skipped
        return True


class LateSink:
    """Whatever waits for entries of a consumer when a late recovery finds some."""

    retry_time_s = None

    def __init__(self, state):
        self.state = state

    async def room(self):
        if self.state.sinks:
            return await self.state.sinks[0].room()
        waits = [wait for wait in self.state.waits if not wait.done]
        return 1 if waits else None

    def take(self, entry):
        if self.state.sinks:
            return self.state.sinks[0].take(entry)
        if not self._end_wait(Found([entry])):
            # The one that waited has ended meanwhile.
            self.state.forget([entry.id])
            self.state.must_recover = True

    def take_skipped(self, skipped):
        if self.state.sinks:
            return self.state.sinks[0].take_skipped(skipped)
        text = f"the entry {skipped.id} is too large for this client"
        return self._end_wait(StreamgateError("LIMIT", text, entry=skipped.id))

    def _end_wait(self, outcome):
        for wait in self.state.waits:
            if not wait.done:
                if wait.session:
                    wait.session.cancel(wait)
                wait.fail(outcome)
                return True
        return False

