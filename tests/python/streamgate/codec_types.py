"""The types of SPEC.md, section 3.2: each writes and reads itself in both encodings.

A decoded message is made of plain Python values. A choice is a dict of one key, a record a dict
with every field (`None` where absent), a list a list, a pair a tuple, `Bytes` are `bytes`.
"""

import base64
import binascii
import json

MAX_UINT = 2**64 - 1
MAX_UINT_32 = 2**32 - 1
MAX_MESSAGE_ID = 2**53 - 1


class Malformed(Exception):
    """What arrived is no message of this encoding."""


class UnknownAlternative(Malformed):
    """A choice names an alternative that this table does not have."""


class TooMany(Malformed):
    """A request has a list beyond its bound."""


class Reader:
    """Reads binary values from a part of a frame."""

    __slots__ = ("data", "position", "end")

    def __init__(self, data, position=0, end=None):
        self.data = data
        self.position = position
        self.end = len(data) if end is None else end

    def left(self):
        return self.end - self.position

    def take(self, length):
        if length > self.left():
            raise Malformed(f"a value of {length} bytes exceeds its record")
        start = self.position
        self.position += length
        return self.data[start : self.position]

    def varint(self):
        value = 0
        for index in range(10):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value > MAX_UINT:
                    break
                return value
        raise Malformed("a varint exceeds 64 bits")

    def record(self):
        """Reads a length, and returns a reader of so many bytes."""
        length = self.varint()
        start = self.position
        self.take(length)
        return Reader(self.data, start, self.position)


def write_varint(out, value):
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


class JsonObject(dict):
    """An object of JSON that knows whether a key was repeated."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = pairs

    def repeats(self):
        return len(self.pairs) != len(self)

    def keys_named(self, name):
        return sum(key == name for key, _ in self.pairs)


class Uint:
    def __init__(self, greatest=MAX_UINT):
        self.greatest = greatest

    def check(self, value):
        if type(value) is not int or not 0 <= value <= self.greatest:
            raise Malformed(f"{value!r} is no whole number from 0 to {self.greatest}")
        return value

    to_json = from_json = check

    def write(self, out, value):
        write_varint(out, self.check(value))

    def read(self, reader):
        return self.check(reader.varint())


class Bool:
    def to_json(self, value):
        return bool(value)

    def from_json(self, value):
        if value is not True and value is not False:
            raise Malformed(f"{value!r} is no Bool")
        return value

    def write(self, out, value):
        out.append(1 if value else 0)

    def read(self, reader):
        (byte,) = reader.take(1)
        if byte > 1:
            raise Malformed(f"a Bool is {byte}")
        return byte == 1


OPTION = Bool()


class Text:
    def to_json(self, value):
        if type(value) is not str:
            raise Malformed(f"{value!r} is no text")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Malformed("a text has an unpaired surrogate") from error
        return value

    def from_json(self, value):
        return self.to_json(value)

    def write(self, out, value):
        data = self.to_json(value).encode()
        write_varint(out, len(data))
        out += data

    def read(self, reader):
        try:
            return str(reader.take(reader.varint()), "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("a text is not UTF-8") from error


class Word(Text):
    """A text of which unknown ones mean a documented default."""

    def __init__(self, known, default):
        self.known = known
        self.default = default

    def from_json(self, value):
        text = super().from_json(value)
        return text if text in self.known else self.default

    def read(self, reader):
        text = super().read(reader)
        return text if text in self.known else self.default


class Bytes:
    """Bytes of a name or a value. A `str` is taken as its UTF-8."""

    def check(self, value):
        if isinstance(value, str):
            try:
                return value.encode()
            except UnicodeEncodeError as error:
                raise Malformed("a text has an unpaired surrogate") from error
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise Malformed(f"{value!r} is no bytes")
        return bytes(value)

    def to_json(self, value):
        data = self.check(value)
        encoded = {"base64": base64.b64encode(data).decode()}
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return encoded
        return min(text, encoded, key=json_length)

    def from_json(self, value):
        if isinstance(value, JsonObject) and list(value) == ["base64"] and not value.repeats():
            try:
                data = base64.b64decode(value["base64"], validate=True)
            except (TypeError, ValueError, binascii.Error) as error:
                raise Malformed("bytes are no base64") from error
            if base64.b64encode(data).decode() != value["base64"]:
                raise Malformed("bytes are base64 in another form")
            return data
        if not isinstance(value, str):
            raise Malformed(f"{value!r} is no bytes")
        return self.check(value)

    def write(self, out, value):
        data = self.check(value)
        write_varint(out, len(data))
        out += data

    def read(self, reader):
        return bytes(reader.take(reader.varint()))


def json_length(value):
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


class List:
    def __init__(self, item, most=None):
        self.item = item
        self.most = most

    def check(self, count):
        if self.most is not None and count > self.most:
            raise TooMany(f"{count} items are more than {self.most}")

    def to_json(self, value):
        return [self.item.to_json(item) for item in value]

    def from_json(self, value):
        if type(value) is not list:
            raise Malformed(f"{value!r} is no list")
        self.check(len(value))
        return [self.item.from_json(item) for item in value]

    def write(self, out, value):
        write_varint(out, len(value))
        for item in value:
            self.item.write(out, item)

    def read(self, reader):
        count = reader.varint()
        self.check(count)
        if count > reader.left():
            raise Malformed(f"a list of {count} items exceeds its record")
        return [self.item.read(reader) for _ in range(count)]


class Pair:
    def __init__(self, first, second):
        self.parts = (first, second)

    def to_json(self, value):
        first, second = value
        return [self.parts[0].to_json(first), self.parts[1].to_json(second)]

    def from_json(self, value):
        if type(value) is not list or len(value) != 2:
            raise Malformed(f"{value!r} is no pair")
        return (self.parts[0].from_json(value[0]), self.parts[1].from_json(value[1]))

    def write(self, out, value):
        first, second = value
        self.parts[0].write(out, first)
        self.parts[1].write(out, second)

    def read(self, reader):
        return (self.parts[0].read(reader), self.parts[1].read(reader))


class Record:
    """Fields in the order of SPEC.md; a name that ends with `_opt` is optional."""

    def __init__(self, **fields):
        self.fields = [
            (name.removesuffix("_opt"), kind, name.endswith("_opt"))
            for name, kind in fields.items()
        ]

    def to_json(self, value):
        record = {}
        for name, kind, optional in self.fields:
            field = value.get(name)
            if field is not None:
                record[name] = kind.to_json(field)
            elif not optional:
                raise Malformed(f"the field {name} is missing")
        return record

    def from_json(self, value):
        if not isinstance(value, JsonObject):
            raise Malformed(f"{value!r} is no record")
        if value.repeats():
            raise Malformed("a key is repeated")
        record = {}
        for name, kind, optional in self.fields:
            field = value.get(name)
            if field is not None:
                record[name] = kind.from_json(field)
            elif optional:
                record[name] = None
            else:
                raise Malformed(f"the field {name} is missing")
        return record

    def write(self, out, value):
        body = bytearray()
        for name, kind, optional in self.fields:
            field = value.get(name)
            if optional:
                body.append(0 if field is None else 1)
            elif field is None:
                raise Malformed(f"the field {name} is missing")
            if field is not None:
                kind.write(body, field)
        write_varint(out, len(body))
        out += body

    def read(self, reader):
        return self.read_fields(reader.record())

    def read_fields(self, body):
        record = {}
        for name, kind, optional in self.fields:
            if not optional:
                record[name] = kind.read(body)
            elif body.left() and OPTION.read(body):
                record[name] = kind.read(body)
            else:
                record[name] = None
        return record


class Wrapped:
    """A record of one field, which JSON shows as the field alone."""

    def __init__(self, field):
        self.field = field

    def to_json(self, value):
        return self.field.to_json(value)

    def from_json(self, value):
        return self.field.from_json(value)

    def write(self, out, value):
        body = bytearray()
        self.field.write(body, value)
        write_varint(out, len(body))
        out += body

    def read(self, reader):
        return self.field.read(reader.record())


class Choice:
    """Alternatives in the order of their numbers."""

    def __init__(self, **alternatives):
        self.alternatives = list(alternatives.items())
        self.numbers = {name: number for number, name in enumerate(alternatives)}

    def of(self, value):
        """Returns the name, the type and the content of a value's only alternative."""
        if not isinstance(value, dict) or len(value) != 1:
            raise Malformed(f"{value!r} is no choice")
        ((name, content),) = value.items()
        if name not in self.numbers:
            raise UnknownAlternative(f"{name} is unknown")
        return name, self.alternatives[self.numbers[name]][1], content

    def to_json(self, value):
        name, kind, content = self.of(value)
        return {name: kind.to_json(content)}

    def from_json(self, value):
        if not isinstance(value, JsonObject) or value.repeats():
            raise Malformed(f"{value!r} is no choice")
        name, kind, content = self.of(value)
        return {name: kind.from_json(content)}

    def write(self, out, value):
        name, kind, content = self.of(value)
        write_varint(out, self.numbers[name])
        kind.write(out, content)

    def read(self, reader):
        number = reader.varint()
        if number >= len(self.alternatives):
            reader.record()
            raise UnknownAlternative(f"the alternative {number} is unknown")
        name, kind = self.alternatives[number]
        return {name: kind.read(reader)}
