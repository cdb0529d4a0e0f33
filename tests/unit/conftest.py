"""What the unit tests share."""

from __future__ import annotations

import pytest
from support.wire import Certificate, make_certificate


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests with asyncio only, as Airflow does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore the proxies and the CA bundles of this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Make a certificate that no authority has signed."""
    return make_certificate(tmp_path_factory.mktemp("tls"))
