"""Query a copy on a local disk with DuckDB. Its argument is the folder."""

import sys

import duckdb

QUERY = """
    SELECT id, "values"[1:3] AS first_values, metadata ->> '$.text' AS text
    FROM read_parquet(?)
    WHERE id LIKE 'record-000%'
    ORDER BY id
    LIMIT 5
"""

for row in duckdb.execute(QUERY, [f"{sys.argv[1]}/data/__default__/*.parquet"]).fetchall():
    print(row)
