"""A client of the streamgate protocol, written from SPEC.md."""

from .client import Client
from .entries import Entry, Gap, Skipped
from .errors import StreamgateError

__all__ = ["Client", "Entry", "Gap", "Skipped", "StreamgateError"]
