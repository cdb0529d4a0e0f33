"""Scripted faults: which calls go wrong, and how."""

import json
import shlex
import threading
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from airflow_pinecone.emulator.errors import error_body

_POINTS = {"before", "after"}


class Fault:
    """One rule: these calls go wrong in this way. Made by `Emulator.fault`, which explains the arguments.

    Attributes:
        hits: How many calls it has struck so far; 0 means that nothing came its way.
    """

    def __init__(
        self,
        method: str,
        path: str,
        *,
        nth: int = 1,
        times: int | None = 1,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | dict[str, Any] | list[Any] | None = None,
        drop: str | None = None,
        hang: str | None = None,
        drip: str | None = None,
        endless: bool = False,
        work: bool = False,
    ) -> None:
        """See `Emulator.fault`. Raises ValueError for values that make no sense."""
        if drop not in {None, "during", *_POINTS} or hang not in {None, *_POINTS}:
            raise ValueError(f"drop is before, during or after, hang is before or after, not {drop!r}, {hang!r}")
        if drip not in {None, "head", "body"}:
            raise ValueError(f"drip is head or body, not {drip!r}")
        if drop and (drip or endless):
            raise ValueError("a call is dropped, or its answer drips or has no end, not both")
        if status in {204, 304} and (drip == "body" or endless):
            raise ValueError(f"an answer of status {status} has no body, so it does not drip and has an end")
        if nth < 1 or (times is not None and times < 1):
            raise ValueError(f"nth and times count from 1, not {nth!r}, {times!r}")
        if status is not None and not 200 <= status <= 599:
            raise ValueError(f"an answer's status is from 200 to 599, not {status!r}")
        self.method = method
        self.path = path
        self.nth = nth
        self.times = times
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        self.drop = drop
        self.hang = hang
        self.drip = drip
        self.endless = endless
        # Without a status of its own the answer is that of the work.
        self.work = work or status is None
        self.hits = 0
        self._calls = 0
        self._taken = 0
        self._hit = threading.Condition()
        self._released = False
        self._on_release: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Return the rule and how often it struck."""
        return f"<Fault {self.method} {self.path} nth={self.nth} times={self.times} hits={self.hits}>"

    @property
    def alters(self) -> bool:
        """Whether it makes an answer another one, or none; one that hangs or drips is the right one in the end."""
        return bool(self.status or self.headers or self.body is not None or self.drop or self.endless)

    def takes(self, method: str, path: str, *, free: bool) -> bool:
        """Count a call if it fits; tell whether this rule strikes it, which it may if it is still free."""
        if not self._fits(method, path):
            return False
        self._calls += 1
        if not free or self._calls < self.nth or (self.times is not None and self._taken >= self.times):
            return False
        self._taken += 1
        return True

    def answer(self, work: tuple[int, Any] | None) -> tuple[int, Any]:
        """Return status and body to answer, given those of the work if it was done."""
        status, body = work or (0, None)
        if self.status is not None:
            status = self.status
            if status >= 400:
                body = error_body(status, "A scripted fault of the emulator.")
        return status, body if self.body is None else self.body

    def wait(self, timeout: float = 10.0, hits: int = 1) -> None:
        """Wait until the fault has struck.

        Args:
            timeout: Seconds to wait at most.
            hits: How often it must have struck.

        Raises:
            TimeoutError: When it has not struck so often by then.
        """
        with self._hit:
            if not self._hit.wait_for(lambda: self.hits >= hits, timeout):
                raise TimeoutError(f"{self!r} was not hit {hits} times within {timeout} s")

    def release(self) -> None:
        """Let the calls go on that hang or drip in this fault or have no end, and those that it strikes later."""
        with self._lock:
            self._released = True
            waiting, self._on_release = self._on_release, []
        for go_on in waiting:
            go_on()

    def reach(self, point: str) -> None:
        """Note that a call has come to a point ("before", "after", "answer"): is it struck there?"""
        first = self.hang or (self.drop if self.drop in _POINTS else "answer")
        if point == first:
            with self._hit:
                self.hits += 1
                self._hit.notify_all()

    def when_released(self, go_on: Callable[[], object]) -> None:
        """Call `go_on` once the fault is released, at once if it is already."""
        with self._lock:
            if not self._released:
                self._on_release.append(go_on)
                return
        go_on()

    def _fits(self, method: str, path: str) -> bool:
        if self.method not in {"*", method}:
            return False
        if self.path == "*":
            return True
        # Segment by segment: fnmatch alone would let a `*` reach across a slash.
        ours, theirs = self.path.split("/"), path.split("/")
        return len(ours) == len(theirs) and all(map(fnmatchcase, theirs, ours))


def parse_fault(spec: str) -> Fault:
    """Read a fault as the command line writes it.

    Args:
        spec: Method and path, then settings of a `Fault` as NAME=VALUE, for example
            `POST /indexes/*/backups nth=2 drop=after` or `GET /backups/* status=503 retry_after=2 times=3`;
            `times=always`, `work=yes`, `endless=yes`, `body='<html>'`; `retry_after` is the header Retry-After.

    Returns:
        The fault.

    Raises:
        ValueError: When it cannot be read; says why.
    """
    words = shlex.split(spec)
    if len(words) < 3 or "=" in words[0] or "=" in words[1]:
        raise ValueError(f"{spec!r}: expected METHOD PATH NAME=VALUE …")
    settings: dict[str, Any] = {}
    for word in words[2:]:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise ValueError(f"{spec!r}: expected NAME=VALUE, not {word!r}")
        if name in {"nth", "status"}:
            settings[name] = _whole(value, spec)
        elif name == "times":
            settings[name] = None if value == "always" else _whole(value, spec)
        elif name == "retry_after":
            settings["headers"] = {"Retry-After": value}
        elif name in {"work", "endless"}:
            if value not in {"yes", "no"}:
                raise ValueError(f"{spec!r}: {name} is yes or no")
            settings[name] = value == "yes"
        elif name in {"drop", "hang", "drip", "body"}:
            settings[name] = value
        else:
            raise ValueError(f"{spec!r}: unknown setting {name!r}")
    return Fault(words[0].upper(), words[1], **settings)


def _whole(value: str, spec: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        raise ValueError(f"{spec!r}: {value!r} is not a whole number")
    return int(value)


def encode(body: bytes | str | dict[str, Any] | list[Any] | None) -> tuple[bytes, str]:
    """Encode a body.

    Args:
        body: Bytes or text as they are, or a JSON value; None: no body.

    Returns:
        The bytes, and their Content-Type.
    """
    if body is None:
        return b"", ""
    if isinstance(body, (bytes, str)):
        raw = body.encode() if isinstance(body, str) else body
        return raw, "text/html; charset=utf-8" if raw.lstrip().startswith(b"<") else "text/plain; charset=utf-8"
    return json.dumps(body).encode(), "application/json"
