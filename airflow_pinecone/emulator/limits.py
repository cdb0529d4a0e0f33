"""Limits of the data plane: requests per second, and read units per month."""

from collections import defaultdict, deque
from typing import Literal

from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.resources import Index
from airflow_pinecone.emulator.scenario import Scenario

Kind = Literal["list", "fetch"]


class Limits:
    """The requests and the read units so far.

    Attributes:
        read_units: The read units of all requests.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Count from zero."""
        self._scenario = scenario
        self._requests: dict[tuple[str, Kind], deque[float]] = defaultdict(deque)
        self.read_units = 0

    def check(self, index: Index, kind: Kind, now: float) -> None:
        """Count a request; 429 if there were too many in the last second, or if the read units are used up."""
        scenario = self._scenario
        per_second = {"list": scenario.list_requests_per_second, "fetch": scenario.fetch_requests_per_second}[kind]
        if per_second is not None:
            recent = self._requests[index.id, kind]
            while recent and now - recent[0] >= 1:
                recent.popleft()
            if len(recent) >= per_second:
                message = f"You've reached the max {kind} requests per second for index {index.name}."
                raise ApiError(429, f"Request failed. {message}")
            recent.append(now)
        self.check_read_units()

    def check_read_units(self) -> None:
        """Raise 429 if the read units of the month are used up."""
        per_month = self._scenario.read_units_per_month
        if per_month is not None and self.read_units >= per_month:
            message = f"You've reached your read unit limit for the current month ({per_month})."
            raise ApiError(429, f"Request failed. {message} To continue reading data, upgrade your plan.")

    def charge(self, read_units: int) -> int:
        """Add the read units of a request, and return them."""
        self.read_units += read_units
        return read_units
