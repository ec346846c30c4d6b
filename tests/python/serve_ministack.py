"""Runs ministack until standard input is closed: so it ends with the test that started it, whichever way that one ends."""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    sys.stdin.buffer.read()
    # The whole group, with whatever ministack has started; this process leads it.
    os.killpg(0, signal.SIGKILL)


threading.Thread(target=end_with_parent, daemon=True).start()
sys.argv = ["ministack"]

from ministack.app import main  # noqa: E402: the watch must be there before anything can start or hang

main()
