"""What `make lint` makes of pip-audit's answers; without its real database, which changes by the day."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

AUDIT = Path(__file__).resolve().parents[1] / "tools/audit.py"
PIP_AUDIT = [sys.executable, "-m", "pip_audit"]
# aiohttp admits no yarl 2; nothing but this package's own extra keeps pinecone where it is.
PINS = "nobody==1.0 ; python_version < '3'\npinecone==9.0.1\nyarl==1.0\n"
PASSED = "no known vulnerability that newer pins would mend"


@pytest.fixture
def audit(tmp_path):
    """Run tools/audit.py with a command in the place of pip-audit, or with pip-audit itself."""

    def run(*arguments, **environment):
        (tmp_path / "pins.txt").write_text(PINS)
        command = [sys.executable, AUDIT, *arguments[:-1], tmp_path / "pins.txt", "--", *arguments[-1]]
        # What pip-audit has in its cache would be an answer, too.
        environment = os.environ | {"PIP_NO_CACHE_DIR": "1", "XDG_CACHE_HOME": str(tmp_path)} | environment
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def answering(tmp_path):
    """A command that says the same to every question."""

    def command(answer, code=0):
        (tmp_path / "answer").write_text(answer if isinstance(answer, str) else json.dumps({"dependencies": answer}))
        return ["sh", "-c", f"cat >/dev/null; cat '{tmp_path}/answer'; exit {code}"]

    return command


def pin(name, *fix_versions):
    """An answer about a pin, with a finding for each list of fixed versions."""
    return {
        "name": name,
        "version": "1.0",
        "vulns": [{"id": f"PYSEC-{i}", "aliases": [f"CVE-{i}"], "fix_versions": v} for i, v in enumerate(fix_versions)],
    }


def unknown(name):
    return {"name": name, "skip_reason": "Dependency not found on PyPI and could not be audited"}


def test_a_finding_that_a_newer_pin_mends_fails(audit, answering):
    # aiohttp admits one of yarl's fixed versions, and that is enough.
    code, said = audit(answering([pin("tenacity"), pin("pinecone", ["9.0.2"], []), pin("yarl", ["1.99", "99.0"])], 1))
    assert code == 1
    assert said.endswith(
        "pip-audit: known vulnerabilities that newer pins mend (make constraints):\n"
        "  pinecone 1.0: PYSEC-0, CVE-0, fixed in 9.0.2\n"
        "  yarl 1.0: PYSEC-0, CVE-0, fixed in 1.99, 99.0\n"
    )
    assert "pip-audit: warning: pinecone 1.0: PYSEC-1, CVE-1; no fixed version is out\n" in said
    assert PASSED not in said


def test_a_finding_that_nobody_here_can_mend_is_a_warning(audit, answering):
    code, said = audit(answering([pin("pinecone", []), pin("yarl", ["99.0"])], 1))
    warnings = [line for line in said.splitlines() if line.startswith("pip-audit: warning: ")]
    assert code == 0
    assert warnings[0].endswith("pinecone 1.0: PYSEC-0, CVE-0; no fixed version is out")
    assert re.search(r"yarl 1\.0: PYSEC-0, CVE-0, fixed in 99\.0; aiohttp \S+ wants yarl\S*<2", warnings[1])
    assert PASSED in said


def test_nothing_found(audit, answering):
    assert audit(answering([pin("pinecone"), pin("yarl")])) == (0, f"pip-audit: 2 pins, {PASSED}\n")


def test_what_the_database_does_not_know_is_not_counted(audit, answering):
    code, said = audit(answering([pin("pinecone"), unknown("yarl")]))
    assert code == 0
    assert "not audited, for its database does not know them: yarl\n" in said
    assert f"pip-audit: 1 pins, {PASSED}" in said


def test_a_database_that_knows_nothing_is_none(audit, answering):
    code, said = audit(answering([unknown("pinecone"), unknown("yarl")]))
    assert code == 0
    assert said.startswith("pip-audit skipped: its database cannot be reached (")
    assert said.count("\n") == 1
    assert PASSED not in said


def test_no_answer_in_time(audit):
    code, said = audit("--wait", "0.1", ["sh", "-c", "exec sleep 60"])
    assert (code, said) == (0, "pip-audit skipped: its database cannot be reached (no answer within 0.1 s)\n")


@pytest.mark.parametrize(
    ("answer", "code"),
    [("No known vulnerabilities found", 0), ("[]", 0), ([pin("yarl")], 2), ([pin("yarl", [])], 0)],
)
def test_an_answer_that_makes_no_sense_fails(audit, answering, answer, code):
    code_of_ours, said = audit(answering(answer, code))
    assert code_of_ours == 1
    assert f"pip-audit failed (exit code {code}):" in said
    assert PASSED not in said
    assert "skipped" not in said


def test_no_pip_audit(audit):
    code, said = audit([sys.executable, "-m", "no_such_pip_audit"])
    assert (code, "No module named no_such_pip_audit" in said) == (1, True)


def test_the_real_one_without_a_network(audit):
    code, said = audit(PIP_AUDIT, HTTPS_PROXY="http://127.0.0.1:1", https_proxy="http://127.0.0.1:1")
    assert code == 0
    assert said.startswith("pip-audit skipped: its database cannot be reached (ProxyError: ")
    assert said.count("\n") == 1


@pytest.fixture
def database():
    """A vulnerability database that knows of one in pinecone; and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            package = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]
            asked.append(package["name"])
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0.2"}]}]
            finding = {"id": "PYSEC-7", "aliases": ["CVE-7"], "affected": [{"package": package, "ranges": ranges}]}
            body = json.dumps({"vulns": [finding]} if package["name"] == "pinecone" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_the_real_one_asks_about_one_pin_then_about_all(audit, database):
    url, asked = database
    code, said = audit([*PIP_AUDIT, "--vulnerability-service", "osv", "--osv-url", url], NO_PROXY="*", no_proxy="*")
    assert code == 1
    assert said.endswith("(make constraints):\n  pinecone 9.0.1: PYSEC-7, CVE-7, fixed in 9.0.2\n")
    assert asked == ["pinecone", "pinecone", "yarl"]
