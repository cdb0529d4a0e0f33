"""The contents of an index: its namespaces, and the writes that are not visible yet."""

import itertools
from collections import deque
from collections.abc import Callable

from airflow_pinecone.emulator.namespaces import GeneratedNamespace, Namespaces, copies

Write = Callable[[Namespaces], None]
# Returns a namespace with this number of records and this seed.
Generate = Callable[[int, int], GeneratedNamespace]

# A restored index has at most this many namespaces, whatever a backup claims to have.
_MAX_NAMESPACES = 2000


class Contents:
    """The namespaces of an index.

    Attributes:
        namespaces: The visible namespaces by name; "" is the default namespace.
    """

    def __init__(self, namespaces: Namespaces) -> None:
        """Create contents that are visible at once."""
        self.namespaces = namespaces
        self._writes: deque[tuple[float, Write]] = deque()
        # What a backup gets, as long as that lacks writes.
        self._backed_up: Contents | None = None

    @property
    def is_plain(self) -> bool:
        """Whether all namespaces are generated."""
        return all(isinstance(namespace, GeneratedNamespace) for namespace in self.namespaces.values())

    def write(self, write: Write, now: float, visible_after: float = 0.0, backup_lag: float = 0.0) -> None:
        """Change the namespaces, after the changes before.

        Args:
            write: The change.
            now: The time.
            visible_after: The seconds until the change is visible.
            backup_lag: The seconds until a backup has the change.
        """
        if backup_lag and self._backed_up is None:
            self._backed_up = Contents(self._all())
        if self._backed_up is not None:
            self._backed_up.write(write, now, visible_after=backup_lag)
        self._writes.append((now + visible_after, write))
        self.settle(now)

    def settle(self, now: float) -> None:
        """Make the writes visible that are due."""
        while self._writes and self._writes[0][0] <= now:
            self._writes.popleft()[1](self.namespaces)

    @property
    def is_settled(self) -> bool:
        """Whether all writes are visible."""
        return not self._writes

    def snapshot(self, now: float) -> Namespaces:
        """Return a copy for a backup."""
        if self._backed_up is not None:
            self._backed_up.settle(now)
            if not self._backed_up.is_settled:
                return copies(self._backed_up.namespaces)
            self._backed_up = None
        return self._all()

    def latest(self, now: float) -> Namespaces:
        """Return the namespaces with the writes that are not visible yet. Do not change them."""
        self.settle(now)
        return self.namespaces if self.is_settled else self._all()

    def _all(self) -> Namespaces:
        namespaces = copies(self.namespaces)
        for _, write in self._writes:
            write(namespaces)
        return namespaces


def resized(contents: Namespaces, records: int, namespaces: int, generate: Generate) -> Namespaces:
    """Return generated namespaces with other counts, in proportion to their records.

    The namespaces keep their names and seeds, so that each has its first records, or more after them.
    """
    if not contents or records <= 0:
        return spread(records, namespaces, generate)
    namespaces = min(namespaces, _MAX_NAMESPACES)
    changed = dict(itertools.islice(contents.items(), namespaces))
    average = max(1, sum(map(len, contents.values())) // len(contents))
    new_names = (name for n in itertools.count(1) if (name := f"namespace-{n}") not in changed)
    while len(changed) < namespaces:
        changed[next(new_names)] = generate(average, len(changed))
    weights = [len(namespace) or 1 for namespace in changed.values()]
    bounds = [0, *(records * end // sum(weights) for end in itertools.accumulate(weights))]
    counts = (end - start for start, end in itertools.pairwise(bounds))
    return {
        name: namespace.resized(count) if isinstance(namespace, GeneratedNamespace) else namespace
        for (name, namespace), count in zip(changed.items(), counts, strict=True)
    }


def spread(records: int, namespaces: int, generate: Generate) -> Namespaces:
    """Spread generated records evenly over namespaces."""
    if records <= 0:
        return {}
    namespaces = min(namespaces, _MAX_NAMESPACES)
    each, rest = divmod(records, namespaces)
    return {f"namespace-{n + 1}": generate(each + (n < rest), n) for n in range(namespaces)}
