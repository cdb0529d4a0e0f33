"""Faults: rules that make requests fail."""

import json
import random
import shlex
import threading
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from airflow_pinecone.emulator.errors import error_body
from airflow_pinecone.emulator.messages import ApiResponse, Body, encode

Point = Literal["before", "after", "response"]


@dataclass(eq=False, repr=False)
class Fault:
    """A rule that makes requests fail.

    `Emulator.fault` creates a fault and adds it to the emulator. If several faults match a request, the one that
    was added first takes effect.

    Attributes:
        method: The HTTP method, or "*" for any method.
        path: The path, percent-encoded as it is sent. `*` matches (a part of) one segment; the path "*" matches
            every path.
        nth: The first matching request that fails, counted from 1.
        times: How many requests fail; None for no limit.
        probability: The probability that a matching request fails, more than 0 and at most 1. Each fault uses the
            same random numbers, so a test can be repeated.
        status: The status of the response. The emulator does not process the request, unless `work` is true.
        headers: Headers to add to the response.
        body: The body of the response: bytes and text as they are, other values as JSON. The default is the body
            of the processed request or, if `status` is an error, the error body for that status.
        drop: When the emulator drops the connection: "before" it processes the request, "after" it (the response
            is lost), or "during" the response (half of the body is sent).
        hang: When the request hangs until the fault is released or the emulator stops: "before" it is processed
            or "after". Once released, it continues normally.
        drip: The part of the response that is sent byte by byte, five bytes a second: all of it ("head"), or
            only the "body". Once released, the rest follows at once.
        endless: Whether the body continues with spaces until the fault is released: as fast as the client reads,
            or one by one with `drip`.
        change_answer: Called with the JSON of the processed request. The response has what it returns.
        work: Whether the emulator processes the request before it responds with `status`. If it does, a create request
            succeeds although the client receives an error.
        hits: How many requests the fault has affected so far. A test can check that it is not 0.

    Raises:
        ValueError: The settings are invalid.
    """

    method: str
    path: str
    _: KW_ONLY
    nth: int = 1
    times: int | None = 1
    probability: float = 1.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = None
    drop: Literal["before", "during", "after"] | None = None
    hang: Literal["before", "after"] | None = None
    drip: Literal["head", "body"] | None = None
    endless: bool = False
    change_answer: Callable[[Any], Any] | None = None
    work: bool = False

    def __post_init__(self) -> None:
        """Validate the settings."""
        if self.drop not in {None, "before", "during", "after"}:
            raise ValueError(f"drop must be before, during or after, not {self.drop!r}")
        if self.hang not in {None, "before", "after"}:
            raise ValueError(f"hang must be before or after, not {self.hang!r}")
        if self.drip not in {None, "head", "body"}:
            raise ValueError(f"drip must be head or body, not {self.drip!r}")
        if self.drop and (self.drip or self.endless):
            raise ValueError("drop does not combine with drip or endless")
        if self.status in {204, 304} and (self.drip == "body" or self.endless):
            raise ValueError(f"a response with status {self.status} has no body, so it cannot drip or be endless")
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError(f"nth and times must be at least 1, not {self.nth!r} and {self.times!r}")
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability must be more than 0 and at most 1, not {self.probability!r}")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status must be from 200 to 599, not {self.status!r}")
        if self.status is None:
            self.work = True  # Without a status, the response is that of the processed request.
        self.hits = 0
        self._matching_requests = 0
        self._claimed_requests = 0
        self._random = random.Random(0)  # noqa: S311 (nothing secret)
        self._hit = threading.Condition()
        self._released = False
        self._release_callbacks: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Return the rule and its number of hits."""
        return f"<Fault {self.method} {self.path} nth={self.nth} times={self.times} hits={self.hits}>"

    @property
    def alters_response(self) -> bool:
        """Whether the client receives a different response or none. `hang` and `drip` only delay it."""
        return bool(
            self.status or self.headers or self.body is not None or self.drop or self.endless or self.change_answer
        )

    def claim(self, method: str, path: str, *, unclaimed: bool) -> bool:
        """Count a request if it matches, and return whether this fault takes effect on it.

        With `unclaimed=False`, another fault takes effect, and this one only counts the request.
        """
        if not self._matches(method, path):
            return False
        self._matching_requests += 1
        exhausted = self.times is not None and self._claimed_requests >= self.times
        if not unclaimed or self._matching_requests < self.nth or exhausted:
            return False
        if self._random.random() >= self.probability:
            return False
        self._claimed_requests += 1
        return True

    def response(self, original: ApiResponse | None) -> ApiResponse:
        """Return the response to send; `original` is that of the control plane, or None if `work` is false."""
        status, body, headers = original or ApiResponse(200, None)
        if self.change_answer is not None and original is not None:
            body = self.change_answer(json.loads(encode(body)[0]))
        if self.status is not None:
            status, headers = self.status, {}
            if status >= 400:
                body = error_body(status, "Fault injected by the emulator.")
        return ApiResponse(status, body if self.body is None else self.body, {**headers, **self.headers})

    def wait(self, timeout: float = 10.0, hits: int = 1) -> None:
        """Wait until the fault has affected a request.

        Args:
            timeout: The maximum number of seconds to wait.
            hits: The number of hits to wait for.

        Raises:
            TimeoutError: The fault has fewer hits after `timeout` seconds.
        """
        with self._hit:
            if not self._hit.wait_for(lambda: self.hits >= hits, timeout):
                raise TimeoutError(f"{self!r} was not hit {hits} times within {timeout} s")

    def release(self) -> None:
        """Let requests that hang, drip or are endless complete normally, now and in the future."""
        with self._lock:
            self._released = True
            callbacks, self._release_callbacks = self._release_callbacks, []
        for callback in callbacks:
            callback()

    def reach(self, point: Point) -> None:
        """Count a hit if this is the point at which the fault first takes effect."""
        first_effect = self.hang or (self.drop if self.drop in {"before", "after"} else "response")
        if point == first_effect:
            with self._hit:
                self.hits += 1
                self._hit.notify_all()

    def call_on_release(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the fault is released, or now if it already is."""
        with self._lock:
            if not self._released:
                self._release_callbacks.append(callback)
                return
        callback()

    def _matches(self, method: str, path: str) -> bool:
        if self.method not in {"*", method}:
            return False
        if self.path == "*":
            return True
        # fnmatch alone would let a `*` match a slash.
        patterns, segments = self.path.split("/"), path.split("/")
        return len(patterns) == len(segments) and all(map(fnmatchcase, segments, patterns))


class Faults:
    """The faults of an emulator, in the order in which they were added."""

    def __init__(self) -> None:
        """Create an empty list of faults."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Add a fault after the others, and return it."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def claim(self, method: str, path: str) -> Fault | None:
        """Count a request in every fault that matches it, and return the one that takes effect."""
        claimed_by = None
        with self._lock:
            for fault in self._faults:
                if fault.claim(method, path, unclaimed=claimed_by is None):
                    claimed_by = fault
        return claimed_by

    def release(self) -> None:
        """Release all faults: let requests that hang, drip or are endless complete normally."""
        with self._lock:
            faults = list(self._faults)
        for fault in faults:
            fault.release()


def parse_fault(spec: str) -> Fault:
    """Parse METHOD PATH NAME=VALUE ..., as in the help of the command line. Raises ValueError if it is invalid."""
    words = shlex.split(spec)
    if len(words) < 3 or "=" in words[0] or "=" in words[1]:
        raise ValueError(f"{spec!r}: expected METHOD PATH NAME=VALUE ...")
    settings: dict[str, Any] = {}
    for word in words[2:]:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise ValueError(f"{spec!r}: expected NAME=VALUE, not {word!r}")
        if name in {"nth", "status"}:
            settings[name] = _whole_number(value, spec)
        elif name == "times":
            settings[name] = None if value == "always" else _whole_number(value, spec)
        elif name == "probability":
            settings[name] = _number(value, spec)
        elif name == "retry_after":
            settings["headers"] = {"Retry-After": value}
        elif name in {"work", "endless"}:
            if value not in {"yes", "no"}:
                raise ValueError(f"{spec!r}: {name} must be yes or no, not {value!r}")
            settings[name] = value == "yes"
        elif name in {"drop", "hang", "drip", "body"}:
            settings[name] = value
        else:
            raise ValueError(f"{spec!r}: unknown setting {name!r}")
    return Fault(words[0].upper(), words[1], **settings)


def _whole_number(value: str, spec: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        raise ValueError(f"{spec!r}: {value!r} is not a whole number")
    return int(value)


def _number(value: str, spec: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{spec!r}: {value!r} is not a number") from None
