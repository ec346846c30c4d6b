"""Word count in Lithops: `map_reduce` on the localhost backend, one worker a core. The output is not sorted.

usage: lithops_wc.py INPUT OUTPUT

As in the word count of Lithops' own guide, a map call returns the `Counter` of its piece and one reduce call adds them
up. The pieces are byte ranges of the local file, so nothing is copied into an object store first, and the reduce call
writes the result itself, so that it is not pickled once more. Pieces of 16 MB and of 256 MB were slower.
"""

import os
import sys
from collections import Counter

import lithops

PIECE_BYTES = 64 << 20
WHITE_SPACE = b" \t\n\f\r"


def count_piece(path, start, end):
    """Counts the words whose first byte lies in [start, end)."""
    with open(path, "rb") as file:
        if start > 0:
            # A word that began before this piece belongs to the piece before.
            file.seek(start - 1)
            while (byte := file.read(1)) and byte not in WHITE_SPACE:
                pass
            start = file.tell()
        text = file.read(max(0, end - start))
        if text and text[-1] not in WHITE_SPACE:
            while (byte := file.read(1)) and byte not in WHITE_SPACE:
                text += byte
    # Python's own split takes the vertical tab for white space; here it is part of a word.
    if b"\v" in text:
        return Counter(word for word in text.translate(bytes.maketrans(b"\t\n\f\r", b"    ")).split(b" ") if word)
    return Counter(text.split())


def write_sum(results, path):
    """Adds the counters up and writes the lines."""
    total = results[0]
    for counter in results[1:]:
        total.update(counter)
        counter.clear()
    with open(path, "wb", buffering=1 << 20) as file:
        file.writelines(b"%s\t%d\n" % item for item in total.items())
    return len(total)


if __name__ == "__main__":
    source, target = sys.argv[1:]
    size = os.path.getsize(source)
    pieces = [(source, start, min(start + PIECE_BYTES, size)) for start in range(0, size, PIECE_BYTES)]
    config = {
        "lithops": {"backend": "localhost", "storage": "localhost", "telemetry": False, "execution_timeout": 3600},
        "localhost": {"runtime": sys.executable, "worker_processes": os.cpu_count()},
    }
    executor = lithops.FunctionExecutor(config=config, log_level="WARNING")
    executor.map_reduce(count_piece, pieces, write_sum, extra_args_reduce=(target,))
    print(executor.get_result(), "distinct words")
    executor.clean(clean_cloudobjects=True)
