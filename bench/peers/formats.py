"""One question about one file, answered by DuckDB or by chDB (ClickHouse in a process).

    formats.py duckdb|chdb count|sum FILE THREADS
"""

import sys

COLUMN = "l_extendedprice"
# How chDB reads what a name ends in. It unpacks by the ending, too.
CHDB_FORMATS = {"csv": "CSVWithNames", "jsonl": "JSONEachRow", "parquet": "Parquet"}


def duckdb_answer(what, file, threads):
    import duckdb

    duckdb.sql(f"SET threads = {threads}")
    return duckdb.sql(f"SELECT {what} FROM '{file}'").fetchall()[0][0]


def chdb_answer(what, file, threads):
    import chdb

    name = file.removesuffix(".gz")
    of = CHDB_FORMATS[name.rsplit(".", 1)[1]]
    return str(chdb.query(f"SELECT {what} FROM file('{file}', {of}) SETTINGS max_threads = {threads}", "CSV")).strip()


def main():
    peer, question, file, threads = sys.argv[1:]
    what = {"count": "count(*)", "sum": f"sum({COLUMN})"}[question]
    print({"duckdb": duckdb_answer, "chdb": chdb_answer}[peer](what, file, int(threads)))


main()
