"""Variables and comparison of transcripts, as protocol/sequences/README.md describes them."""

import itertools
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
        for order in itertools.permutations(range(len(expected))) if len(expected) < 5 else ():
            before = dict(self.values)
            try:
                for index, message in zip(order, received):
                    self.match(expected[index], message)
                return
            except Mismatch:
                self.values = before
        self._match_one_by_one(expected, received)

    def _match_one_by_one(self, expected, received):
        left = list(expected)
        for message in received:
            for index, candidate in enumerate(left):
                try:
                    self.match(candidate, message)
                except Mismatch:
                    continue
                del left[index]
                break
            else:
                raise Mismatch(f"{json.dumps(message)} is none of {json.dumps(left)}")

    def _match(self, expected, received):
        if expected == _ANYTHING:
            return
        if isinstance(expected, str) and _VARIABLE.fullmatch(expected):
            value = self.values.setdefault(expected, received)
            if value != received:
                raise Mismatch(f"{expected} is {value!r}, and {received!r} arrived")
        elif isinstance(expected, dict) and list(expected) == ["$repeat"]:
            self._match(self.fill(expected), received)
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
