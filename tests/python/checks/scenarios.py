"""The client against a real server: losses in the middle, limits, and stops."""

import asyncio
import contextlib
import itertools
import random

from streamgate import Client, Entry, Skipped, StreamgateError
from streamgate.codec import ENCODINGS

from .relay import Relay
from .server import Server

LONG_S = 30
LOSSES = 5
GROUP = {"stream": "orders", "group": "kitchen"}
ANN = {**GROUP, "consumer": "ann"}


class Setting:
    """A server, a relay in front of it, and clients that speak one encoding."""

    def __init__(self, encoding, *arguments):
        self.encoding = encoding
        self.arguments = arguments
        self.stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        await self.stack.__aenter__()
        self.server = await self.stack.enter_async_context(Server(*self.arguments))
        self.relay = await self.stack.enter_async_context(Relay(self.server.port))
        return self

    async def __aexit__(self, *error):
        return await self.stack.__aexit__(*error)

    async def client(self, *urls, **options):
        options.setdefault("subprotocols", [self.encoding])
        client = Client(*(urls or [self.server.url]), **options)
        return await self.stack.enter_async_context(client)

    async def losing_client(self, **options):
        options.setdefault("max_reconnect_pause_s", 0.3)
        return await self.client(self.relay.url, **options)

    @contextlib.asynccontextmanager
    async def losses(self, client):
        """Cuts the client's connection some times, at first with the answers lost before."""

        async def lose():
            for sockets in range(1, LOSSES + 1):
                await until(lambda: client.session and client.sockets == sockets)
                await asyncio.sleep(random.uniform(0.01, 0.05))
                if sockets % 2:
                    self.relay.swallow()
                    await asyncio.sleep(random.uniform(0.01, 0.05))
                self.relay.cut()

        task = asyncio.create_task(lose())
        try:
            yield
            await task
        finally:
            task.cancel()


def entry(number):
    return [("number", str(number))]


def number_of(item):
    ((_, value),) = item.fields
    return int(value)


async def error_of(awaitable):
    try:
        result = await awaitable
    except StreamgateError as error:
        return error
    raise AssertionError(f"{result!r} instead of an error")


def equal(left, right):
    assert left == right, f"{left!r} is not {right!r}"


async def every_operation(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client()
        first = await client.add("orders", [("item", "tea"), (b"item", "größe")], maxlen=100)
        second = await client.add_plain("orders", [("item", "milk")])
        tea = Entry(first, [(b"item", b"tea"), (b"item", "größe".encode())])
        milk = Entry(second, [(b"item", b"milk")])
        equal(await client.read("orders", "0"), ([tea, milk], second))
        equal(await client.read_latest("orders", 1), [milk])
        equal(await client.read("orders", "$", block_ms=1), ([], second))
        await client.create_group(**GROUP, id="0")
        equal((await error_of(client.create_group(**GROUP))).code, "BUSYGROUP")
        equal(await client.read_group(**ANN, count=1), [tea])
        equal(await client.read_pending(**ANN), ([tea], False))
        equal((await client.pending_summary(**GROUP))["consumers"], [(b"ann", 1)])
        (pending,) = await client.pending(**GROUP)
        equal((pending["id"], pending["deliveries"]), (first, 1))
        equal(await client.claim(**GROUP, consumer="bob", min_idle_ms=0), ("0-0", [tea], []))
        equal(await client.remove_consumer(**GROUP, consumer="bob", new_owner="ann"), 1)
        (consumer,) = await client.consumers(**GROUP)
        equal((consumer["name"], consumer["pending"]), (b"ann", 1))
        equal(await client.ack(**GROUP, ids=[first]), 1)


async def names_and_values_are_bytes(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client()
        stream, group, consumer = b"s\xff\x00", b"\xc3\x28", b'\xf0"\\'
        fields = [(b"\xfe", b"\x80\x81"), (b"", b""), ("text".encode(), b"\n")]
        added = await client.add(stream, fields)
        wanted = [Entry(added, fields)]
        equal(await client.read_latest(stream, 1), wanted)
        await client.create_group(stream, group, "0")
        equal(await client.read_group(stream, group, consumer), wanted)
        equal((await client.pending_summary(stream, group))["consumers"], [(consumer, 1)])
        (pending,) = await client.pending(stream, group, consumer=consumer)
        equal(pending["consumer"], consumer)
        (listed,) = await client.consumers(stream, group)
        equal(listed["name"], consumer)
        equal(await client.remove_consumer(stream, group, consumer, b"\xfd"), 1)
        equal(await client.read_pending(stream, group, b"\xfd"), (wanted, False))
        async with client.tail(stream, "beginning") as tail:
            equal([await anext(tail)], wanted)
        options = {"claim_after_ms": 1, "max_deliveries": 1, "dead_letter": b"dead\xff"}
        async with client.consume(stream, group, consumer, **options):
            async with client.tail(b"dead\xff", "beginning") as dead:
                letter = dict((await anext(dead)).fields)
        equal(letter[b"dead-letter-stream"], stream)
        equal(letter[b"dead-letter-consumer"], b"\xfd")


async def adds_once_and_in_order(encoding):
    async with Setting(encoding) as setting:
        client = await setting.losing_client()
        numbers = itertools.count()

        async def add_many():
            for _ in range(20):
                batch = [client.add("orders", entry(next(numbers))) for _ in range(20)]
                ids = await asyncio.gather(*batch)
                equal(sorted(ids, key=ids.index), ids)

        async with setting.losses(client):
            await add_many()
        entries, _ = await (await setting.client()).read("orders", "0")
        equal([number_of(item) for item in entries], list(range(400)))


async def tail_misses_and_repeats_nothing(encoding):
    async with Setting(encoding) as setting:
        client, other = await setting.losing_client(), await setting.client()
        async with setting.losses(client), client.tail("orders", "beginning", window=50) as tail:
            adding = asyncio.create_task(_add_slowly(other, 300))
            for number in range(300):
                equal(number_of(await anext(tail)), number)
            await adding


async def _add_slowly(client, count):
    for number in range(count):
        await client.add("orders", entry(number))


async def consume_hands_each_entry_over_once(encoding):
    async with Setting(encoding) as setting:
        client, other = await setting.losing_client(), await setting.client()
        await other.create_group(**GROUP, id="0")
        async with setting.losses(client), client.consume(**ANN, batch=30) as consume:
            adding = asyncio.create_task(_add_slowly(other, 300))
            seen = []
            for _ in range(300):
                item = await anext(consume)
                seen.append(number_of(item))
                await client.ack(**GROUP, ids=[item.id])
            await adding
        equal(sorted(seen), list(range(300)))
        equal((await other.pending_summary(**GROUP))["count"], 0)


async def read_group_hands_each_entry_over_once(encoding):
    async with Setting(encoding) as setting:
        client, other = await setting.losing_client(), await setting.client()
        await other.create_group(**GROUP, id="0")
        seen = []
        async with setting.losses(client):
            adding = asyncio.create_task(_add_slowly(other, 200))
            while len(seen) < 200:
                for item in await client.read_group(**ANN, count=7, block_ms=0):
                    seen.append(number_of(item))
                    if random.random() < 0.5:
                        await client.ack(**GROUP, ids=[item.id])
            await adding
        equal(sorted(seen), list(range(200)))


async def waits_go_on_after_a_loss(encoding):
    async with Setting(encoding) as setting:
        client, other = await setting.losing_client(), await setting.client()
        await client.add("orders", entry(0))
        reading = asyncio.create_task(client.read("orders", "$", block_ms=60_000))
        await until(lambda: client.session.exchanges)
        await client.read_latest("orders", 1)
        setting.relay.accepts = False
        setting.relay.cut()
        await other.add("orders", entry(1))
        setting.relay.accepts = True
        entries, _ = await asyncio.wait_for(reading, LONG_S)
        equal([number_of(item) for item in entries], [1])


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def plain_add_has_an_unknown_outcome(encoding):
    async with Setting(encoding) as setting:
        client = await setting.losing_client()
        await client.ready()
        setting.relay.swallow()
        adding = asyncio.create_task(client.add_plain("orders", entry(1)))
        await until(lambda: client.session.exchanges)
        await asyncio.sleep(0.05)
        setting.relay.cut()
        equal((await error_of(adding)).code, "UNKNOWN_OUTCOME")


async def newer_socket_takes_over(encoding):
    async with Setting(encoding) as setting:
        older = await setting.client(client_id="the-same")
        waiting = asyncio.create_task(older.read("orders", "0", block_ms=0))
        await until(lambda: older.session and older.session.exchanges)
        newer = await setting.client(client_id="the-same")
        await newer.add("orders", entry(1))
        equal((await error_of(waiting)).code, "PROTOCOL")
        equal(older.close_code, 4410)


async def unknown_path_stops(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client(setting.server.url + "x")
        equal((await error_of(client.read("orders", "0"))).code, "PROTOCOL")
        equal(client.end.http, 404)


async def full_server_lets_a_client_wait(encoding):
    async with Setting(encoding, "--max-sockets", "1") as setting:
        first = await setting.client()
        await first.add("orders", entry(1))
        second = await setting.client()
        adding = asyncio.create_task(second.add("orders", entry(2)))
        await until(lambda: second.end)
        equal((second.end.http, second.end.retry_after_s >= 1), (503, True))
        await first.close()
        await asyncio.wait_for(adding, LONG_S)


async def forgotten_producer_takes_a_new_name(encoding):
    async with Setting(encoding, "--drain-ms", "0") as setting:
        client = await setting.client()
        await client.add("orders", entry(1))
        name = client.producer("orders").name
        setting.server.shut_down()
        await setting.server.process.wait()
        await until(lambda: client.close_code)
        equal(client.close_code, 1001)
        await setting.server.start()
        await client.add("orders", entry(2))
        assert client.producer("orders").name != name, "the name is the same"
        entries, _ = await client.read("orders", "0")
        equal([number_of(item) for item in entries], [2])


async def small_client_gets_skipped(encoding):
    async with Setting(encoding) as setting:
        client, other = await setting.client(max_frame_bytes=65536), await setting.client()
        first = await other.add("orders", entry(1))
        large = await other.add("orders", [("large", b"x" * 100_000)])
        last = await other.add("orders", entry(2))
        async with client.tail("orders", "beginning") as tail:
            equal([(await anext(tail)).id, await anext(tail), (await anext(tail)).id],
                  [first, Skipped(large, 100_000 + 5 + len(large), "size"), last])
        equal([item.id for item in (await client.read("orders", "0"))[0]], [first])
        fault = await error_of(client.read("orders", first))
        equal((fault.code, fault.entry), ("LIMIT", large))
        await client.create_group(**GROUP, id="0")
        equal([item.id for item in await client.read_group(**ANN)], [first])
        fault = await error_of(client.read_group(**ANN))
        equal((fault.code, fault.entry), ("LIMIT", large))
        equal([item.id for item in await client.read_group(**ANN)], [last])


async def group_read_larger_than_a_frame(encoding):
    async with Setting(encoding) as setting:
        client, other = await setting.client(max_frame_bytes=65536), await setting.client()
        await other.create_group(**GROUP, id="0")
        ids = [await other.add("orders", [("half", "x" * 30_000)]) for _ in range(7)]
        seen = []
        while len(seen) < len(ids):
            seen += [item.id for item in await client.read_group(**ANN)]
        equal(seen, ids)


async def request_larger_than_a_frame_fails_alone(encoding):
    async with Setting(encoding, "--max-frame-bytes", "4194304") as setting:
        client = await setting.client()
        fault = await error_of(client.add_plain("orders", [("large", "x" * 4_194_304)]))
        equal(fault.code, "LIMIT")
        fault = await error_of(client.add("orders", [("large", "x" * 4_194_304)]))
        equal(fault.code, "LIMIT")
        await client.add("orders", entry(1))
        equal(client.sockets, 1)


async def requests_beyond_the_grant_are_held_back(encoding):
    async with Setting(encoding, "--max-in-flight", "256") as setting:
        client = await setting.client()
        waits = [client.read(f"s{n}", "0", block_ms=20) for n in range(600)]
        results = await asyncio.gather(*waits)
        equal({last_id for _, last_id in results}, {"0"})


async def slow_reader_gets_no_more_than_its_window(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client()
        for number in range(30):
            await client.add("orders", entry(number))
        async with client.tail("orders", "beginning", window=8) as tail:
            await until(lambda: len(tail.queue) == 8)
            await client.read_latest("orders", 1)
            equal(len(tail.queue), 8)
            equal([number_of(await anext(tail)) for _ in range(30)], list(range(30)))


async def reclaims_and_dead_letters(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client()
        await client.create_group(**GROUP, id="0")
        first = await client.add("orders", entry(1))
        equal(len(await client.read_group(**GROUP, consumer="crashed")), 1)
        async with client.consume(**ANN, claim_after_ms=1) as consume:
            equal((await anext(consume)).id, first)
        options = {"claim_after_ms": 1, "max_deliveries": 2, "dead_letter": "dead"}
        async with client.consume(**GROUP, consumer="bob", **options) as consume:
            dead = client.tail("dead", "beginning")
            letter = await asyncio.wait_for(anext(dead), LONG_S)
            await dead.aclose()
        equal(dict(letter.fields)[b"dead-letter-id"].decode(), first)


async def consume_creates_its_group(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client()
        async with client.consume(**ANN, create_from="0") as consume:
            await client.add("orders", entry(1))
            equal(number_of(await anext(consume)), 1)


async def consume_from_now_survives_its_group(encoding):
    async with Setting(encoding) as setting:
        client, other = await setting.losing_client(), await setting.client()
        await other.add("orders", entry(0))
        async with client.consume(**ANN, create_from="$") as consume:
            await until(lambda: consume.position)
            await other.add("orders", entry(1))
            equal(number_of(await anext(consume)), 1)
            setting.relay.accepts = False
            setting.relay.cut()
            await other.add("orders", entry(2))
            setting.relay.accepts = True
            equal(number_of(await anext(consume)), 2)


async def left_loop_loses_nothing(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client()
        await client.create_group(**GROUP, id="0")
        for number in range(20):
            await client.add("orders", entry(number))
        seen = []
        async with client.consume(**ANN) as consume:
            seen += [number_of(await anext(consume)) for _ in range(3)]
        async with client.consume(**ANN) as consume:
            seen += [number_of(await anext(consume)) for _ in range(17)]
        equal(seen, list(range(20)))


async def idle_client_stays_connected(encoding):
    async with Setting(encoding, "--heartbeat-ms", "1000") as setting:
        client = await setting.client()
        await client.ready()
        await asyncio.sleep(3.5)
        equal((client.sockets, client.end), (1, None))


async def silent_server_is_abandoned(encoding):
    async with Setting(encoding, "--heartbeat-ms", "150") as setting:
        client = await setting.losing_client()
        await client.ready()
        setting.relay.swallow()
        await asyncio.wait_for(until(lambda: client.end), LONG_S)
        assert client.end.look_again and not client.end.stop
        setting.relay.cut()
        await asyncio.wait_for(client.add("orders", entry(1)), LONG_S)


async def offers_both_encodings(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client(subprotocols=list(ENCODINGS))
        await client.add("orders", entry(1))
        assert client.session.codec in ENCODINGS.values()


async def closed_client_ends_its_requests(encoding):
    async with Setting(encoding) as setting:
        client = await setting.client()
        await client.create_group(**GROUP, id="0")
        waits = [
            asyncio.create_task(client.read("orders", "0", block_ms=0)),
            asyncio.create_task(client.read_group(**ANN, block_ms=0)),
            asyncio.create_task(anext(client.tail("orders"))),
        ]
        await until(lambda: len(client.session.exchanges) == 3)
        await client.close()
        codes = [(await error_of(wait)).code for wait in waits]
        equal(codes, ["CLOSED", "UNKNOWN_OUTCOME", "CLOSED"])


SCENARIOS = [
    every_operation,
    names_and_values_are_bytes,
    adds_once_and_in_order,
    tail_misses_and_repeats_nothing,
    consume_hands_each_entry_over_once,
    read_group_hands_each_entry_over_once,
    waits_go_on_after_a_loss,
    plain_add_has_an_unknown_outcome,
    newer_socket_takes_over,
    unknown_path_stops,
    full_server_lets_a_client_wait,
    forgotten_producer_takes_a_new_name,
    small_client_gets_skipped,
    group_read_larger_than_a_frame,
    request_larger_than_a_frame_fails_alone,
    requests_beyond_the_grant_are_held_back,
    slow_reader_gets_no_more_than_its_window,
    reclaims_and_dead_letters,
    consume_creates_its_group,
    consume_from_now_survives_its_group,
    left_loop_loses_nothing,
    idle_client_stays_connected,
    silent_server_is_abandoned,
    offers_both_encodings,
    closed_client_ends_its_requests,
]


def checks():
    """Yields a name and a coroutine function for each scenario and encoding."""
    for scenario in SCENARIOS:
        for encoding in ENCODINGS:
            name = f"{scenario.__name__} in {encoding.rsplit('.', 1)[1]}"
            yield name, lambda s=scenario, e=encoding: s(e)
