"""`make lint`: does a pinned version have a known vulnerability? Asks pip-audit, where its database can be reached.

A finding fails the lint if newer pins would mend it. It is a warning if no fixed version is out, or if an installed
package (Airflow, nearly always) admits none of the fixed versions: that is not this package's to mend.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# From standard input, as they are: these pins are all there is, so nothing needs resolving. pip-audit tries each
# address once, this many seconds long, and stops at the first that does not answer.
OPTIONS = ["-r", "/dev/stdin", "--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off", "--timeout=5"]
# How pip-audit's last words begin when its database gave no answer, or none of its kind (a 503, a portal's page).
NO_ANSWER = re.compile(r"^(?:requests\.exceptions\.|ERROR:pip_audit\._cli:(?=Could not connect|PyPI is not))(.+)", re.M)


class UnreachableError(Exception):
    """The vulnerability database did not answer."""


def ask(pip_audit: list[str], pins: str, seconds: float) -> list[dict[str, Any]]:
    """What pip-audit has to say about each pin."""
    try:
        done = subprocess.run([*pip_audit, *OPTIONS], input=pins, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as e:
        raise UnreachableError(f"no answer within {seconds:g} s") from e
    try:
        answers = json.loads(done.stdout)["dependencies"]
        found = any(answer["vulns"] for answer in answers if "skip_reason" not in answer)
        understood = done.returncode == int(found)
    except (ValueError, LookupError, TypeError):
        understood = False
    if not understood:
        if reasons := NO_ANSWER.findall(done.stderr):
            raise UnreachableError(reasons[-1])
        sys.exit(f"pip-audit failed (exit code {done.returncode}):\n{done.stdout}{done.stderr}".rstrip())
    # A registry's mirror has the packages but not what is known of them: it answers 404 to every question, and
    # pip-audit then says "No known vulnerabilities found".
    if all("skip_reason" in answer for answer in answers):
        raise UnreachableError("what answers in its place knows none of the pinned packages")
    return list(answers)


def obstacle(name: str, fixed: list[str]) -> str | None:
    """What keeps us from pinning a fixed version, if anything does."""
    if not fixed:
        return "no fixed version is out"
    for package in distributions():
        for text in package.requires or ():
            wants = Requirement(text)
            # What an extra wants is no obstacle: this package's own pins some of the tests' tools.
            if canonicalize_name(wants.name) != name or (wants.marker and not wants.marker.evaluate({"extra": ""})):
                continue
            if not any(wants.specifier.contains(version, prereleases=True) for version in fixed):
                return f"{package.name} {package.version} wants {wants.name}{wants.specifier}"
    return None


def main() -> None:
    """Audit the pins of a constraints file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("constraints", type=Path)
    parser.add_argument("--wait", type=float, default=15, help="seconds for the database to answer about one pin")
    parser.add_argument("pip_audit", nargs="*", default=[sys.executable, "-m", "pip_audit"], help="the command to ask")
    args = parser.parse_args()
    pins = args.constraints.read_text()
    # The first pin alone, to see at once whether the database is there; one with a condition might not be asked about.
    first = next(line for line in pins.splitlines() if "==" in line and ";" not in line)
    try:
        ask(args.pip_audit, first, args.wait)
        answers = ask(args.pip_audit, pins, seconds=300)
    except UnreachableError as e:
        print(f"pip-audit skipped: its database cannot be reached ({e})")
        return

    if unknown := [answer["name"] for answer in answers if "skip_reason" in answer]:
        print(f"pip-audit: warning: not audited, for its database does not know them: {', '.join(unknown)}")
    mendable = []
    for answer in answers:
        for finding in answer.get("vulns", ()):
            fixed = finding["fix_versions"]
            line = f"{answer['name']} {answer['version']}: {', '.join([finding['id'], *finding['aliases']])}"
            if fixed:
                line += f", fixed in {', '.join(fixed)}"
            if why := obstacle(answer["name"], fixed):
                print(f"pip-audit: warning: {line}; {why}")
            else:
                mendable.append(line)
    if mendable:
        sys.exit("\n  ".join(["pip-audit: known vulnerabilities that newer pins mend (make constraints):", *mendable]))
    print(f"pip-audit: {len(answers) - len(unknown)} pins, no known vulnerability that newer pins would mend")


if __name__ == "__main__":
    main()
