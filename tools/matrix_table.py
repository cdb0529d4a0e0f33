"""Print the results of `make matrix` and `make matrix-real` as the table of the documentation."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

COLUMNS = {
    "fast-3.11": "Python 3.11",
    "fast-3.12": "Python 3.12",
    "fast-3.13": "Python 3.13",
    "lowest-3.11": "lowest versions",
    "real-3.11": "real processes",
}


def result(path: Path) -> str:
    """Describe the result of one run of pytest.

    Args:
        path: Its JUnit XML file.
    """
    suite = ElementTree.parse(path).getroot().find("testsuite")
    if suite is None:
        return "no tests"
    count, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    text = f"{count - skipped - failed} passed" + (f", {skipped} skipped" if skipped else "")
    return f"**{failed} failed**, {text}" if failed else text


def table(folder: Path) -> str:
    """Return the table in Markdown.

    Args:
        folder: The folder of the files ``KIND-AIRFLOW-PYTHON.xml``.
    """
    cells: dict[str, dict[str, str]] = {}
    for path in folder.glob("*.xml"):
        kind, airflow, python = path.stem.split("-")
        cells.setdefault(airflow, {})[f"{kind}-{python}"] = result(path)
    rows = [["Airflow", *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1)]
    versions = sorted(cells, key=lambda version: [int(part) for part in version.split(".")])
    rows += [[version, *(cells[version].get(column, "") for column in COLUMNS)] for version in versions]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
