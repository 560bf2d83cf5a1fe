"""Random pauses that grow: SPEC.md, section 11.6."""

import random


class ReconnectPause:
    def __init__(self, longest_s):
        self.longest_s = longest_s
        self.reset()

    def reset(self):
        self.bound = min(0.1, self.longest_s)

    def next(self, at_least=0.0):
        pause = random.uniform(0, self.bound)
        self.bound = min(self.bound * 2, self.longest_s)
        return max(pause, at_least)


class RetryPause:
    def __init__(self):
        self.reset()

    def reset(self):
        self.bound = 0.05
        self.failures = 0

    def next(self, fault=None):
        self.failures += 1
        pause = random.uniform(self.bound / 2, self.bound)
        self.bound = min(self.bound * 2, 1.0)
        at_least = (fault.retry_after_ms or 0) / 1000 if fault else 0
        return max(pause, at_least)
