"""The golden messages of protocol/vectors, in both encodings."""

import json
from pathlib import Path

from streamgate.codec import BINARY, CLIENT, JSON, SERVER, Malformed, OnlyId

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors"
SIDES = {"client": CLIENT, "server": SERVER}
ENCODINGS = {"json": JSON, "binary": BINARY}


def load(file):
    return json.loads((VECTORS / file).read_text())


def frame_of(encoding, text):
    return bytes.fromhex(text) if encoding is BINARY else text


def understood(encoding, side, frame):
    return list(encoding.decode(side, frame))


def encoded(encoding, side, messages):
    empty = encoding.separator[:0]
    frames = [encoding.encode(side, message) for message in messages]
    return (encoding.separator or empty).join(frames)


def check_golden(vector):
    side = SIDES[vector["direction"]]
    binary = bytes.fromhex(vector["binary"])
    messages = understood(JSON, side, vector["json"])
    assert messages, "no message"
    assert understood(BINARY, side, binary) == messages, "the encodings differ"
    assert encoded(BINARY, side, messages) == binary, "encoded differently"
    assert understood(JSON, side, encoded(JSON, side, messages)) == messages, "JSON differs"


def outcome(encoding, side, frame):
    """What SPEC.md, section 3.4, lets a receiver do with a frame."""
    try:
        messages = understood(encoding, side, frame)
    except Malformed:
        return "close 4400"
    if not messages:
        return "ignore"
    (message,) = messages
    if not isinstance(message, OnlyId):
        return f"accepts {message}"
    assert message.id == 5, f"the id is {message.id}"
    return "fail PROTOCOL" if message.name == "reply" else f"reply {message.code}"


def check_refused(vector):
    side, encoding = SIDES[vector["direction"]], ENCODINGS[vector["encoding"]]
    result = outcome(encoding, side, frame_of(encoding, vector["frame"]))
    assert result == vector["then"], f"{result} instead of {vector['then']}"


def check_tolerated(vector):
    side, encoding = SIDES[vector["direction"]], ENCODINGS[vector["encoding"]]
    messages = understood(encoding, side, frame_of(encoding, vector["frame"]))
    assert messages == understood(JSON, side, vector["json"]), f"understood {messages}"


FILES = {
    "client.json": check_golden,
    "server.json": check_golden,
    "frames.json": check_golden,
    "refused.json": check_refused,
    "tolerated.json": check_tolerated,
}


def checks():
    """Yields a name and a function for each vector."""
    for file, check in FILES.items():
        for number, vector in enumerate(load(file)):
            yield f"{file} {number}: {vector['name']}", lambda c=check, v=vector: c(v)
