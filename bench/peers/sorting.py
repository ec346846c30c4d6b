"""Records of 100 bytes made, sorted by DuckDB, and checked.

    sorting.py make FILE RECORDS 0|1       # 1: half of them have one key
    sorting.py duckdb FILE OUT TMP THREADS
    sorting.py check FILE...               # of all files, end to end: {"records", "checksum", "in_order"}
"""

import json
import sys

import numpy as np

BYTES = 100
AT_ONCE = 1_000_000
LETTERS = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


def make(path, records, skew):
    random = np.random.default_rng(7)
    with open(path, "wb") as out:
        for start in range(0, records, AT_ONCE):
            count = min(AT_ONCE, records - start)
            rows = np.empty((count, BYTES), dtype=np.uint8)
            rows[:, :] = LETTERS[random.integers(0, len(LETTERS), (count, BYTES), dtype=np.uint8)]
            if skew:
                rows[::2, :10] = np.frombuffer(b"MMMMMMMMMM", dtype=np.uint8)
            numbers = np.char.zfill(np.arange(start, start + count).astype(str), 12).astype("S12")
            rows[:, 10] = ord(" ")
            rows[:, 11:23] = numbers.view(np.uint8).reshape(count, 12)
            rows[:, 23] = ord(" ")
            rows[:, -1] = ord("\n")
            out.write(rows.tobytes())


def duckdb_sort(path, out, tmp, threads):
    import duckdb

    duckdb.sql(f"SET threads = {threads}; SET memory_limit = '4GB'; SET temp_directory = '{tmp}'")
    lines = f"read_csv('{path}', columns = {{'line': 'VARCHAR'}}, header = false, delim = '\t', quote = '', escape = '')"
    duckdb.sql(f"COPY (SELECT line FROM {lines} ORDER BY line) TO '{out}' (FORMAT csv, HEADER false, DELIMITER '\t', QUOTE '')")


def check(paths):
    """The checksum is the sum of a polynomial of each record's bytes, modulo 2^64."""
    factors = np.array([pow(0x9E3779B97F4A7C15, n + 1, 1 << 64) for n in range(BYTES)], dtype=np.uint64)
    records, checksum, in_order, last = 0, 0, True, b""
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(AT_ONCE // 4 * BYTES):
                if len(block) % BYTES:
                    sys.exit(f"{path} has a record that is not of {BYTES} bytes")
                rows = np.frombuffer(block, dtype=np.uint8).reshape(-1, BYTES)
                keys = np.frombuffer(block, dtype=f"S{BYTES}")
                in_order &= bool(last <= keys[0] and np.all(keys[:-1] <= keys[1:]))
                last = bytes(keys[-1])
                with np.errstate(over="ignore"):
                    hashed = (rows.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
                    hashed ^= hashed >> np.uint64(29)
                    checksum = (checksum + int((hashed * factors[1]).sum(dtype=np.uint64))) % (1 << 64)
                records += len(keys)
    print(json.dumps({"records": records, "checksum": f"{checksum:016x}", "in_order": in_order}))


def main():
    what, *args = sys.argv[1:]
    if what == "make":
        make(args[0], int(args[1]), args[2] == "1")
    elif what == "duckdb":
        duckdb_sort(*args)
    else:
        check(args)


main()
