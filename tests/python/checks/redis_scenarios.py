"""The client, servers and a Redis: sockets that a server still holds, and the loss of Redis."""

import asyncio

from streamgate import StreamgateError
from streamgate.codec import ENCODINGS

from .scenarios import ANN, GROUP, LONG_S, Setting, entry, equal, number_of, until
from .server import Redis, Server


async def late_recovery(encoding, read):
    """The older session of another server takes an entry; the client finds it later."""
    heartbeat = ("--heartbeat-ms", "500")
    async with (
        Redis() as redis,
        Setting(encoding, "--redis", redis.url, *heartbeat) as setting,
        Server("--redis", redis.url, *heartbeat) as second,
    ):
        other = await setting.client(second.url)
        await other.create_group(**GROUP, id="0")
        client = await setting.client(setting.relay.url, second.url)
        reading = asyncio.create_task(read(client))
        await until(lambda: client.session and client.session.exchanges)
        await client.read_latest("orders", 1)
        setting.relay.half_close()
        await until(lambda: client.sockets == 2 and client.session.exchanges)
        await client.read_latest("orders", 1)
        await other.add("orders", entry(1))
        equal(await asyncio.wait_for(reading, LONG_S), [1])


async def consume_finds_what_the_older_session_took(encoding):
    async def read(client):
        async with client.consume(**ANN) as consume:
            return [number_of(await anext(consume))]

    await late_recovery(encoding, read)


async def read_group_finds_what_the_older_session_took(encoding):
    async def read(client):
        return [number_of(item) for item in await client.read_group(**ANN, block_ms=0)]

    await late_recovery(encoding, read)


async def adds_survive_the_loss_of_redis(encoding):
    async with Redis() as redis, Setting(encoding, "--redis", redis.url) as setting:
        client = await setting.client()

        async def add(number):
            while True:
                try:
                    return await client.add("orders", entry(number))
                except StreamgateError as error:
                    assert error.retry == "later", error
                    await asyncio.sleep(0.05)

        async def add_many(first):
            for number in range(first, 300, 3):
                await add(number)

        adding = asyncio.gather(*(add_many(first) for first in range(3)))
        async with client.tail("orders", "beginning") as tail:
            seen = [number_of(await anext(tail)) for _ in range(50)]
            await redis.kill()
            await until(lambda: client.backend)
            await redis.start()
            seen += [number_of(await anext(tail)) for _ in range(250)]
        await asyncio.wait_for(adding, LONG_S)
        equal(sorted(seen), list(range(300)))


SCENARIOS = [
    consume_finds_what_the_older_session_took,
    read_group_finds_what_the_older_session_took,
    adds_survive_the_loss_of_redis,
]


def checks():
    """Yields a name and a coroutine function for each scenario and encoding."""
    for scenario in SCENARIOS:
        for encoding in ENCODINGS:
            name = f"{scenario.__name__} in {encoding.rsplit('.', 1)[1]}"
            yield name, lambda s=scenario, e=encoding: s(e)

