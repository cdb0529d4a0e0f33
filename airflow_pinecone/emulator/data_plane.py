"""The data plane: which operations it has, and what they share."""

from collections.abc import Mapping
from typing import Any

from airflow_pinecone.emulator.contents import Write
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.limits import Limits
from airflow_pinecone.emulator.messages import Body
from airflow_pinecone.emulator.namespaces import Namespace, StoredNamespace
from airflow_pinecone.emulator.project import Project
from airflow_pinecone.emulator.resources import Index
from airflow_pinecone.emulator.scenario import Scenario

PATH = "/data-plane/"
HOST = PATH + "{host}"
# The name of the default namespace, which is "" in the vectors calls.
DEFAULT_NAMESPACE = "__default__"

# The status and the body of a response.
Result = tuple[int, Body]

# The codes of gRPC in errors of the data plane, by HTTP status.
_RPC_CODES = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    409: 6,
    412: 9,
    413: 3,
    414: 3,
    429: 8,
    501: 12,
}


class DataPlane:
    """The indexes of a project as the data plane sees them.

    Attributes:
        limits: The limits of requests, and the read units so far.
    """

    def __init__(self, project: Project, scenario: Scenario) -> None:
        """Wrap a project."""
        self._project = project
        self._scenario = scenario
        self.limits = Limits(scenario)

    def index(self, host: str) -> Index:
        """Return the index of a host; 404 if there is none."""
        for index in self._project.indexes.values():
            if index.data_plane_path == PATH + host:
                return index
        raise ApiError(404, f"No index has the host {host}.")

    def write(self, index: Index, write: Write, now: float) -> None:
        """Change the namespaces of an index, with the delays of the scenario; 400 if the index is not ready."""
        check_ready(index, now)
        index.contents.write(write, now, self._scenario.writes_visible_after, self._scenario.backup_lag)


def internal(name: str) -> str:
    """Return the name under which an index keeps a namespace."""
    return "" if name == DEFAULT_NAMESPACE else name


def find_namespace(index: Index, name: str, now: float) -> Namespace:
    """Return a namespace of an index as it is visible. One that does not exist is empty."""
    return index.namespaces(now).get(internal(name), StoredNamespace())


def check_ready(index: Index, now: float) -> None:
    """Raise 400 if an index cannot store records yet, or never will."""
    status = index.status(now)
    if not status["ready"]:
        raise ApiError(400, f"Index {index.name} is not ready: its state is {status['state']}. Write when it is Ready.")


def check_namespace_to_delete(index: Index, name: str, now: float) -> None:
    """Raise 404 if a namespace does not exist. The default one always does, and one may not be visible yet."""
    check_ready(index, now)
    if internal(name) and internal(name) not in index.namespaces(now) and index.contents.is_settled:
        raise ApiError(404, f"Namespace {name} not found.")


def refuse_unknown_query(query: Mapping[str, Any], known: set[str]) -> None:
    """Raise 400 if a request has a query parameter that is not known."""
    unknown = sorted(set(query) - known)
    if unknown:
        raise ApiError(400, f"Unknown query parameters: {', '.join(unknown)}.")


def rpc_status(error: ApiError) -> Body:
    """Return the body of an error of the data plane, which has another shape than one of the control plane."""
    if isinstance(error.body, str):
        return error.body
    return {"code": _RPC_CODES.get(error.status, 2), "message": str(error), "details": []}
