"""A command in a terminal of its own: `terminal.py COLUMNS KEYS COMMAND…` runs it in so many columns, widens the terminal to 100 columns
once the command has drawn that, sends KEYS once it has drawn again, and prints what was seen in the narrow terminal, in the wide
one and at the end, and how it ended, as JSON. `SHOWS` is a pattern of what it draws."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

WIDE = 100
WAIT_S = 120


def resize(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def read_until(terminal: int, pattern: str | None) -> str:
    """What the command writes until it has written this, or until it has ended."""
    seen, until = "", time.monotonic() + WAIT_S
    while pattern is None or not re.search(pattern, seen):
        if time.monotonic() > until:
            raise SystemExit(f"no {pattern!r} in {seen!r}")
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            some = os.read(terminal, 65536)
        except OSError:
            some = b""
        if not some:
            break
        seen += some.decode(errors="replace")
    return seen


def main() -> None:
    columns, keys, *command = sys.argv[1:]
    shows = os.environ["SHOWS"]
    child, terminal = pty.fork()
    if child == 0:
        time.sleep(0.1)
        os.execvp(command[0], command)
    resize(terminal, int(columns))
    narrow = read_until(terminal, shows)
    resize(terminal, WIDE)
    os.kill(child, signal.SIGWINCH)
    wide = read_until(terminal, shows)
    os.write(terminal, keys.encode().decode("unicode_escape").encode())
    end = read_until(terminal, None)
    _, status = os.waitpid(child, 0)
    print(json.dumps({"narrow": narrow, "wide": wide, "end": end, "code": os.waitstatus_to_exitcode(status)}))


if __name__ == "__main__":
    main()
