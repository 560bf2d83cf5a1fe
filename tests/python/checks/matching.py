"""Variables and comparison of transcripts, as protocol/sequences/README.md describes them."""

import json
import re
import secrets

_VARIABLE = re.compile(r"\$[A-Za-z0-9_]+")
_ANYTHING = "$_"


class Mismatch(Exception):
    """What arrived is not what the transcript expects."""


class Variables:
    def __init__(self):
        self.values = {}

    def fill(self, value):
        """Returns a value to send: variables and repetitions are replaced."""
        if isinstance(value, str) and _VARIABLE.fullmatch(value):
            return self.values.setdefault(value, f"t-{secrets.token_hex(12)}")
        if isinstance(value, dict) and list(value) == ["$repeat"]:
            text, times = value["$repeat"]
            return text * self.fill(times)
        if isinstance(value, dict) and list(value) == ["$concat"]:
            return "".join(str(self.fill(part)) for part in value["$concat"])
        if isinstance(value, dict):
            return {key: self.fill(field) for key, field in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value

    def match(self, expected, received):
        """Compares, and gives values to variables; on a mismatch none keeps a new value."""
        before = dict(self.values)
        try:
            self._match(expected, received)
        except Mismatch:
            self.values = before
            raise

    def match_any_order(self, expected, received):
        if not expected:
            return
        for index, message in enumerate(received):
            before = dict(self.values)
            try:
                self.match(expected[0], message)
                return self.match_any_order(expected[1:], received[:index] + received[index + 1 :])
            except Mismatch:
                self.values = before
        raise Mismatch(f"{json.dumps(expected[0])} is none of {json.dumps(received)}")

    def _match(self, expected, received):
        if expected == _ANYTHING:
            return
        if isinstance(expected, str) and _VARIABLE.fullmatch(expected):
            value = self.values.setdefault(expected, received)
            if value != received:
                raise Mismatch(f"{expected} is {value!r}, and {received!r} arrived")
        elif isinstance(expected, dict) and list(expected)[:1] in (["$repeat"], ["$concat"]):
            self._match(self.fill(expected), received)
        elif isinstance(expected, dict) and list(expected) == ["$between"]:
            least, greatest = self.fill(expected["$between"])
            if type(received) is not int or not least <= received <= greatest:
                raise Mismatch(f"{received!r} is not from {least} to {greatest}")
        elif isinstance(expected, dict) and list(expected) == ["$any_of"]:
            if received not in self.fill(expected["$any_of"]):
                raise Mismatch(f"{received!r} is none of {expected}")
        elif isinstance(expected, dict) and list(expected) == ["$any_order"]:
            expected = expected["$any_order"]
            if not isinstance(received, list) or len(received) != len(expected):
                raise Mismatch(f"{received!r} arrived instead of {expected!r}")
            self.match_any_order(expected, received)
        elif isinstance(expected, dict):
            if not isinstance(received, dict):
                raise Mismatch(f"{received!r} arrived instead of {expected!r}")
            for key in {**expected, **received}:
                self._match(expected.get(key), received.get(key))
        elif isinstance(expected, list):
            if not isinstance(received, list) or len(received) != len(expected):
                raise Mismatch(f"{received!r} arrived instead of {expected!r}")
            for pair in zip(expected, received):
                self._match(*pair)
        elif expected != received or type(expected) is not type(received):
            raise Mismatch(f"{received!r} arrived instead of {expected!r}")


def divided(message):
    """Divides a push of several entries into pushes of one entry each."""
    content = message.get("push", {}).get("item", {}).get("entries")
    if content is None or len(content["entries"]) < 2:
        return [message]
    pushes = []
    for index, entry in enumerate(content["entries"]):
        item = {"entries": [entry]}
        if index == len(content["entries"]) - 1 and content.get("position") is not None:
            item["position"] = content["position"]
        pushes.append({"push": {"id": message["push"]["id"], "item": {"entries": item}}})
    return pushes
