"""Tokens of an owner that is slow, or does not answer."""

import asyncio

from streamgate import Client

from .server import Server


async def a_slow_issuer_is_awaited():
    """The connect time-out is not the time of the owner."""

    async def slow(*, force):
        await asyncio.sleep(0.5)
        return "token"

    async with Server() as server:
        async with Client(server.url, token=slow, connect_timeout_s=0.25) as client:
            await client.ready()
            assert client.sockets == 1


async def a_call_that_takes_too_long_is_given_up():
    calls, under_way = 0, 0

    async def stuck_once(*, force):
        nonlocal calls, under_way
        calls, under_way = calls + 1, under_way + 1
        assert under_way == 1, "two calls at a time"
        try:
            if calls == 1:
                await asyncio.Event().wait()
            return "token"
        finally:
            under_way -= 1

    async with Server() as server:
        async with Client(server.url, token=stuck_once, token_timeout_s=0.2) as client:
            await client.ready()
            assert calls == 2


def checks():
    """Yields a name and a coroutine function for each check."""
    for check in (a_slow_issuer_is_awaited, a_call_that_takes_too_long_is_given_up):
        yield f"tokens: {check.__name__}", check
