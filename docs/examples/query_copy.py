"""Query a copy with DuckDB: python query_copy.py FOLDER"""

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
