"""Idempotent adds of one stream: SPEC.md, section 7.3."""

import asyncio
from functools import partial

from . import limits
from .errors import Lost, Stopped, StreamgateError
from .pauses import RetryPause

# A producer takes a new name so long before its numbers end, so that none exceeds the bound.
_NUMBERS_IN_RESERVE = 1_000_000


class Add:
    def __init__(self, order, fields, maxlen):
        self.order = order
        self.fields = fields
        self.maxlen = maxlen
        self.number = None
        self.after = 0
        self.first_sent = None
        # Since when it waits for a socket, or is sent again.
        self.retried_since = asyncio.get_running_loop().time()
        self.may_be_stored = False
        self.was_answered = False
        self.exchange = None
        self.future = asyncio.get_running_loop().create_future()

    @property
    def in_flight(self):
        exchange = self.exchange
        return exchange is not None and exchange.session is not None and not exchange.done


class Producer:
    def __init__(self, client, stream):
        self.client = client
        self.stream = stream
        self.unanswered = []
        self.stalled = False
        self.resuming = None
        self.pause = RetryPause()
        self.loop = asyncio.get_running_loop()
        self._take_name()

    def _take_name(self):
        self.name = self.client.next_producer_name()
        self.last = self.stored = self.previous = 0
        self.forgotten = False

    async def add(self, fields, maxlen):
        add = Add(self.client.next_order(), fields, maxlen)
        if self.client.stopped:
            raise self.client.stopped
        self.unanswered.append(add)
        self.loop.call_later(self.client.retry_time_s, self._expire, add)
        if not self.stalled:
            self._submit(add)
        return await asyncio.shield(add.future)

    def stop(self):
        for add in list(self.unanswered):
            add.may_be_stored |= add.in_flight
            self._end_uncertain(add, self.client.stopped)

    # --- sending

    def _submit(self, add):
        exchange = self.client.new_exchange(partial(self._message, add), add.order)
        add.exchange = exchange
        exchange.future.add_done_callback(partial(self._answered, add, exchange))
        self.client.submit(exchange)

    def _message(self, add, id):
        if add.number is None:
            self.last += 1
            add.number = self.last
        add.after, self.previous = self.previous, add.number
        if add.first_sent is None:
            add.first_sent = self.loop.time()
        operation = {
            "stream": self.stream,
            "fields": add.fields,
            "maxlen": add.maxlen,
            "producer": self.name,
            "number": add.number,
            "after": add.after,
            "resent": add.may_be_stored,
        }
        return {"request": {"id": id, "operation": {"idempotent_add": operation}}}

    def _expire(self, add):
        """Ends an add that has waited, or was sent again, for too long."""
        if add.future.done():
            return
        now, until = self.loop.time(), add.retried_since + self.client.retry_time_s
        if add.first_sent is not None:
            until = min(until, add.first_sent + limits.REMEMBERED_S / 2)
        if now < until or add.in_flight:
            return self.loop.call_at(max(until, now + 1), self._expire, add)
        if add.first_sent is None:
            return self._fail(add, self.client.why_unsent())
        self._fail(add, StreamgateError("UNKNOWN_OUTCOME", "the add was sent again for too long"))

    # --- outcomes

    def _answered(self, add, exchange, future):
        if future.cancelled() or add.future.done() or isinstance(future.exception(), Stopped):
            return
        error = future.exception()
        if not add.was_answered:
            add.was_answered, add.retried_since = True, self.loop.time()
        if error is None:
            self.stored = max(self.stored, add.number)
            self.pause.reset()
            self._finish(add, future.result()["added"]["id"])
        elif isinstance(error, Lost):
            add.may_be_stored = True
            self.previous = self.stored
            if not self.stalled:
                self._submit(add)
        else:
            self._on_error(add, error)
        self._resume_if_answered()

    def _on_error(self, add, error):
        if error.code == "OUT_OF_ORDER":
            if add.after > 0 and add.after == self.stored:
                self.forgotten = True
            self._stall(error)
        elif error.code == "TRYAGAIN":
            self._stall(error)
        elif error.code == "SKIPPED":
            self._fail(add, error)
        elif error.code == "FORGOTTEN":
            self._end_uncertain(add, error, certain=False)
        elif error.retry == "unknown":
            add.may_be_stored = True
            self._stall(error)
        elif error.retry == "later" and add.may_be_stored:
            self._stall(error)
        else:
            self._end_uncertain(add, error)

    def _end_uncertain(self, add, error, certain=True):
        if add.may_be_stored or not certain:
            error = StreamgateError("UNKNOWN_OUTCOME", f"the add may be stored: {error}")
        self._fail(add, error)

    def _fail(self, add, error):
        self.previous = min(self.previous, self.stored)
        self._finish(add, error)
        # What was sent after this add will be refused, and has to come before what is new.
        if any(other.in_flight for other in self.unanswered):
            self._stall(None)

    def _finish(self, add, outcome):
        self.unanswered.remove(add)
        if add.exchange:
            self.client.withdraw(add.exchange)
        if isinstance(outcome, StreamgateError):
            add.future.set_exception(outcome)
            add.future.exception()  # The caller may have left.
        else:
            add.future.set_result(outcome)

    # --- stalling

    def _stall(self, error):
        """Sends nothing more until every add in flight is answered, and a pause is over."""
        self.stalled = True
        self.stall_error = error
        for add in self.unanswered:
            if add.exchange and not add.in_flight and not add.exchange.done:
                self.client.withdraw(add.exchange)

    def _resume_if_answered(self):
        if not self.stalled or self.resuming or any(add.in_flight for add in self.unanswered):
            return
        self.resuming = self.client.spawn(self._resume())

    async def _resume(self):
        await asyncio.sleep(self.pause.next(self.stall_error))
        self.resuming = None
        if self.forgotten:
            for add in [add for add in self.unanswered if add.may_be_stored]:
                self._end_uncertain(add, StreamgateError("FORGOTTEN"))
        ends = self.last > limits.MAX_PRODUCER_NUMBER - _NUMBERS_IN_RESERVE
        if self.forgotten or (ends and not any(add.may_be_stored for add in self.unanswered)):
            self._take_name()
            for add in self.unanswered:
                add.number = None
        self.previous = self.stored
        self.stalled = False
        for add in self.unanswered:
            self._submit(add)
