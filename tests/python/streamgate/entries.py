"""Entries, what replaces them, and the comparison of their ids."""

from typing import NamedTuple


class Entry(NamedTuple):
    id: str
    fields: list


class Gap(NamedTuple):
    after: str
    first: str | None
    position: str
    reason: str


class Skipped(NamedTuple):
    id: str
    bytes: int | None
    reason: str


def id_key(text):
    """Returns what ids are compared by."""
    milliseconds, _, sequence = text.partition("-")
    return (int(milliseconds), int(sequence or 0))


def size_of(item):
    """Returns the entries and the bytes that an item uses of a credit."""
    if isinstance(item, Entry):
        return 1, len(item.id) + sum(len(name) + len(value) for name, value in item.fields)
    return (1, 0) if isinstance(item, Skipped) else (0, 0)
