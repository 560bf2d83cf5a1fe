"""The messages of streamgate.v1 as a table, and frames of them in both encodings."""

import json

from .codec_types import (
    MAX_MESSAGE_ID,
    MAX_UINT,
    MAX_UINT_32,
    Bool,
    Bytes,
    Choice,
    JsonObject,
    List,
    Malformed,
    Pair,
    Reader,
    Record,
    Text,
    TooMany,
    Uint,
    UnknownAlternative,
    Word,
    Wrapped,
)
from .limits import MAX_FIELDS, MAX_IDS

_uint, _uint_32, _id = Uint(), Uint(MAX_UINT_32), Uint(MAX_MESSAGE_ID)
_bool, _text, _bytes = Bool(), Text(), Bytes()

FIELDS = List(Pair(_bytes, _bytes), MAX_FIELDS)
IDS = List(_text, MAX_IDS)
ENTRY = Pair(_text, List(Pair(_bytes, _bytes)))
_group = {"stream": _bytes, "group": _bytes}
_consumer = {**_group, "consumer": _bytes}

OPERATION = Choice(
    add=Record(stream=_bytes, fields=FIELDS, maxlen_opt=_uint),
    read_latest=Record(stream=_bytes, count=_uint),
    read=Record(stream=_bytes, last_id=_text, count=_uint, block_ms_opt=_uint),
    create_group=Record(**_group, id=_text),
    read_group=Record(**_consumer, count=_uint, block_ms_opt=_uint),
    ack=Record(**_group, ids=IDS),
    read_pending=Record(**{**_consumer, "after": _text, "count": _uint, "except": IDS}),
    idempotent_add=Record(
        stream=_bytes,
        fields=FIELDS,
        maxlen_opt=_uint,
        producer=_text,
        number=_uint,
        after=_uint,
        resent=_bool,
    ),
    pending_summary=Record(**_group),
    pending=Record(
        **_group, start=_text, end=_text, count=_uint, consumer_opt=_bytes, min_idle_ms_opt=_uint
    ),
    claim=Record(**_consumer, min_idle_ms=_uint, start=_text, count=_uint),
    remove_consumer=Record(**_consumer, new_owner=_bytes),
    consumers=Record(**_group),
)

TAIL_START = Choice(
    beginning=Record(), now=Record(), after=Record(id=_text), last=Record(count=_uint)
)

SUBSCRIPTION = Choice(
    tail=Record(**{"stream": _bytes, "from": TAIL_START}),
    consume=Record(
        **_consumer,
        batch=_uint,
        claim_after_ms_opt=_uint,
        max_deliveries_opt=_uint,
        dead_letter_opt=_bytes,
        resumed_opt=_bool,
        create_from_opt=_text,
        position_opt=_text,
    ),
)

CREDIT = Record(entries=_uint, bytes=_uint)

FAULT = Record(
    code=_text,
    message=_text,
    retry=_text,
    retry_after_ms_opt=_uint,
    entry_opt=_text,
    last_number_opt=_uint,
)

REPLY = Choice(
    added=Record(id=_text),
    entries=Record(entries=List(ENTRY), last_id_opt=_text, more=_bool),
    done=Record(),
    acknowledged=Record(count=_uint),
    summary=Record(
        count=_uint,
        smallest_opt=_text,
        greatest_opt=_text,
        consumers=List(Pair(_bytes, _uint)),
    ),
    pending=Record(
        entries=List(Record(id=_text, consumer=_bytes, idle_ms=_uint, deliveries=_uint))
    ),
    claimed=Record(cursor=_text, entries=List(ENTRY), deleted=List(_text), more=_bool),
    removed=Record(handed_over=_uint),
    consumers=Record(consumers=List(Record(name=_bytes, pending=_uint, idle_ms=_uint))),
)

ITEM = Choice(
    entries=Record(entries=List(ENTRY), position_opt=_text),
    gap=Record(
        after=_text,
        first_opt=_text,
        position=_text,
        reason=Word(("trimmed", "recreated", "rolled_back"), "trimmed"),
    ),
    skipped=Record(id=_text, bytes=_uint, reason=_text),
)

CLIENT_MESSAGE = Choice(
    hello=Record(client=_text, max_frame_bytes=_uint_32, features=List(_text), token_opt=_text),
    request=Record(id=_id, operation=OPERATION),
    cancel=Record(id=_id),
    subscribe=Record(id=_id, subscription=SUBSCRIPTION, credit=CREDIT),
    grant=Record(id=_id, credit=CREDIT),
    ping=Record(nonce=_id),
    pong=Record(nonce=_id),
    authenticate=Record(token=_text),
)

IDENTITY = Record(subject=_text, renew_after_ms_opt=_uint, expires_after_ms_opt=_uint)

SERVER_MESSAGE = Choice(
    welcome=Record(
        server=_text,
        features=List(_text),
        max_in_flight=_uint_32,
        max_frame_bytes=_uint_32,
        heartbeat_ms=_uint_32,
        identity_opt=IDENTITY,
    ),
    reply=Record(id=_id, outcome=Choice(ok=Wrapped(REPLY), error=FAULT)),
    push=Record(id=_id, item=ITEM),
    position=Record(id=_id, last_id=_text),
    backend=Record(unavailable_opt=FAULT),
    ping=Record(nonce=_id),
    pong=Record(nonce=_id),
    auth=Record(identity_opt=IDENTITY, refused_opt=FAULT),
)


class Side:
    """Who sends a frame: its messages, and how their receiver treats what it cannot decode."""

    def __init__(self, messages, others, only_id, ignores_unknown):
        self.messages = messages
        # Messages that only the other side sends; binary cannot tell them from unknown ones.
        self.foreign = set(others.numbers) - set(messages.numbers)
        # Messages whose id is enough for an answer.
        self.only_id = only_id
        self.ignores_unknown = ignores_unknown


CLIENT = Side(CLIENT_MESSAGE, SERVER_MESSAGE, ("request", "subscribe"), False)
SERVER = Side(SERVER_MESSAGE, CLIENT_MESSAGE, ("reply",), True)


class OnlyId:
    """A message of which only the id can be decoded."""

    def __init__(self, name, id, code):
        self.name = name
        self.id = id
        # The code of a server's answer.
        self.code = code


class _Decoder:
    def _message(self, side, name, read_id, read_record):
        """Returns a message, an `OnlyId`, or `None` for what the receiver ignores."""
        try:
            return {name: read_record()}
        except Malformed as error:
            if name == "push" and isinstance(error, UnknownAlternative):
                return None
            if name in side.only_id:
                code = "LIMIT" if isinstance(error, TooMany) else "ERR"
                return OnlyId(name, read_id(), code)
            raise


class Binary(_Decoder):
    subprotocol = "streamgate.v1.bin"
    separator = b""

    def encode(self, side, message):
        out = bytearray()
        side.messages.write(out, message)
        return bytes(out)

    def decode(self, side, frame):
        """Yields what a frame holds; raises `Malformed` where it cannot go on."""
        reader = Reader(frame)
        while reader.left():
            number = reader.varint()
            body = reader.record()
            if number >= len(side.messages.alternatives):
                if not side.ignores_unknown:
                    raise Malformed(f"the message {number} is unknown")
                continue
            name, record = side.messages.alternatives[number]
            start = body.position

            def read_id(start=start, end=body.end):
                return _id.read(Reader(frame, start, end))

            message = self._message(side, name, read_id, lambda: record.read_fields(body))
            if message is not None:
                yield message


class Json(_Decoder):
    subprotocol = "streamgate.v1.json"
    separator = "\n"

    def encode(self, side, message):
        value = side.messages.to_json(message)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def decode(self, side, frame):
        """Yields what a frame holds; raises `Malformed` where it cannot go on."""
        for line in frame.split("\n"):
            line = line.strip(" \t\r")
            if not line:
                continue
            value = parse_json(line)
            if not isinstance(value, JsonObject) or value.repeats() or len(value) != 1:
                raise Malformed("a message is an object with one key")
            ((name, content),) = value.items()
            if name not in side.messages.numbers:
                if name in side.foreign or not side.ignores_unknown:
                    raise Malformed(f"the message {name} is unknown, or of the other side")
                continue
            record = side.messages.alternatives[side.messages.numbers[name]][1]

            def read_id(content=content):
                if not isinstance(content, JsonObject):
                    raise Malformed("a message is no record")
                if content.keys_named("id") != 1:
                    raise Malformed("a message has no single id")
                return _id.from_json(content["id"])

            message = self._message(side, name, read_id, lambda: record.from_json(content))
            if message is not None:
                yield message


def parse_json(text):
    """Parses one value strictly, and remembers which objects repeat a key."""
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error


def _whole_number(text):
    # A number too long for 64 bits need not be converted; `Uint` refuses this one.
    if text.startswith("-"):
        return -1
    return int(text) if len(text) <= 20 else MAX_UINT + 1


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(
    object_pairs_hook=JsonObject, parse_int=_whole_number, parse_constant=_no_constant
)

BINARY = Binary()
JSON = Json()
ENCODINGS = {encoding.subprotocol: encoding for encoding in (BINARY, JSON)}

__all__ = ["BINARY", "CLIENT", "ENCODINGS", "JSON", "Malformed", "OnlyId", "SERVER"]
