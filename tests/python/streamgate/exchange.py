"""One sending of a request or a subscription, until its reply or the end of its socket."""

import asyncio

from .errors import Lost, StreamgateError


class Exchange:
    """What `Client` sends in the order of `order`, as soon as a socket takes it.

    Waiting for `future` returns the content of the reply. It raises `StreamgateError` for an
    error, `Lost` if the socket ended, `Expired` if none took it, `Stopped` if the client stopped.
    """

    def __init__(self, order, build, *, consumer=None, on_push=None, on_position=None):
        self.order = order
        self.build = build
        self.consumer = consumer
        self.on_push = on_push
        self.on_position = on_position
        self.future = asyncio.get_running_loop().create_future()
        self.session = None
        self.id = None

    def __lt__(self, other):
        return self.order < other.order

    @property
    def done(self):
        return self.future.done()

    def message(self, id):
        return self.build(id)

    def sent(self, session, id):
        self.session = session
        self.id = id

    def replied(self, outcome):
        if self.done:
            return
        if "error" in outcome:
            self.fail(StreamgateError(**outcome["error"]))
        else:
            self.future.set_result(outcome["ok"])

    def fail(self, error):
        if not self.done:
            self.future.set_exception(error)
            self.future.exception()  # Nobody may wait any more.

    def lost(self):
        self.fail(Lost())

    def pushed(self, item):
        if self.on_push and not self.done:
            self.on_push(item)

    def positioned(self, last_id):
        if self.on_position and not self.done:
            self.on_position(last_id)
