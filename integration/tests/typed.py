"""Types into a shell and prints what its terminal shows, until that has
the line in it, or nothing more comes: typed.py SHELL KEYS [LINE]"""
import os
import pty
import select
import sys
import time

shell, keys = sys.argv[1:3]
line = sys.argv[3].encode() if sys.argv[3:] else None
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "dumb"
    os.execvp("sh", ["sh", "-c", "exec " + shell])


def shown(quiet, mark=None):
    """Returns what is shown until the mark is, or until it has been quiet for so long."""
    seen = b""
    end = time.monotonic() + quiet
    while time.monotonic() < end and not (mark and mark in seen):
        if select.select([terminal], [], [], 0.02)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
            end = time.monotonic() + quiet
    return seen


shown(10, b"READY>")
shown(0.2)
os.write(terminal, keys.encode())
sys.stdout.write(shown(2, line).decode(errors="replace").replace("\r", ""))
