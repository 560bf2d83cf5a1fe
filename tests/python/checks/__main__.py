"""Runs all checks: `python3 -m checks`, or those whose name contains a text."""

import asyncio
import itertools
import sys
import time
import traceback

from . import client_sequences, redis_scenarios, scenarios, server_sequences, tokens, vectors
from .server import Server

HANGS_AFTER_S = 120
AT_ONCE = 10


async def main(part):
    began, outcomes = time.monotonic(), []
    for name, check in selected(vectors.checks(), part):
        outcomes.append(outcome_of(name, check))
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(name, check):
        async with turns:
            return await outcome_of_coroutine(name, check)

    async with Server() as server:
        suites = (
            server_sequences.checks(server),
            client_sequences.checks(),
            scenarios.checks(),
            redis_scenarios.checks(),
            tokens.checks(),
        )
        chosen = selected(itertools.chain(*suites), part)
        outcomes += await asyncio.gather(*(in_turn(*check) for check in chosen))
    failed = outcomes.count(False)
    seconds = time.monotonic() - began
    passed = len(outcomes) - failed
    print(f"python: {passed} of {len(outcomes)} checks passed in {seconds:.1f} s")
    return 1 if failed or not outcomes else 0


def selected(checks, part):
    return [(name, check) for name, check in checks if part in name]


def outcome_of(name, check):
    try:
        check()
    except Exception:
        return report(name)
    return True


async def outcome_of_coroutine(name, check):
    try:
        await asyncio.wait_for(check(), HANGS_AFTER_S)
    except Exception:
        return report(name)
    return True


def report(name):
    print(f"FAILED {name}", file=sys.stderr)
    traceback.print_exc()
    return False


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:] or [""])))
