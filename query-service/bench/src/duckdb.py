"""Answers one query a line over the Parquet files of a folder: {"ms": ..., "rows": [[...]]} a line.

The time is from the text to the rows as Python objects, without the pipe.
"""
import json
import os
import sys
import time

import duckdb

folder, threads = sys.argv[1], int(sys.argv[2])
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
connection.execute(f"SET threads = {threads}")
for file in sorted(os.listdir(folder)):
    if file.endswith(".parquet"):
        table = file.removesuffix(".parquet")
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{folder}/{file}')")
for line in sys.stdin:
    sql = json.loads(line)
    start = time.perf_counter()
    rows = connection.execute(sql).fetchall()
    elapsed = time.perf_counter() - start
    rows = [[value if isinstance(value, (int, float, str, type(None))) else str(value) for value in row] for row in rows]
    print(json.dumps({"ms": elapsed * 1000, "rows": rows}), flush=True)
