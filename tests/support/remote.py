"""SIGKILL of a module's own process on a managed host, at an exact place in its work.

A hook that every Python on the stand-in loads at its start watches what a module writes and starts (audit events,
PEP 578). Each such event is a place: `rename /etc/nginx/steelyard/pools/api.members`, `run nginx -s reload`. The
module dies just before the first event that contains the given words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from support.rehearsal import Rehearsal

DIRECTORY = "/run/steelyard-test"
HOOK = """
import json, os, signal, sys

def _hook():
    try:
        with open("%(directory)s/place") as file:
            place = json.load(file)
    except OSError:
        return
    if os.geteuid() or len(sys.orig_argv) > 1 and sys.orig_argv[1].startswith("-"):
        return  # no module: those come over standard input, or as a file
    paths = {"os.rename": 1, "os.link": 1, "os.remove": 0, "os.rmdir": 0, "os.mkdir": 0, "os.symlink": 1, "os.chmod": 0}
    busy = []

    def text(value):  # a file may also be named by its number
        return str(value) if isinstance(value, int) else os.fsdecode(value)

    def words(event, args):
        if event == "subprocess.Popen":
            return "run " + " ".join(text(a) for a in args[1])
        if event in paths:
            return event[3:] + " " + text(args[paths[event]])
        if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
            return "write " + str(args[0])
        return ""

    def watch(event, args):
        if busy or not (event in paths or event in ("open", "subprocess.Popen")):
            return
        busy.append(1)
        try:
            said = words(event, args)
            if said and not said.split(" ", 1)[1].startswith(("/tmp", "/root", "/dev", "%(directory)s")):
                with open("%(directory)s/events", "a") as file:
                    file.write(said + "\\n")
                if place["words"] and place["words"] in said:
                    os.rename("%(directory)s/place", "%(directory)s/struck")
                    os.kill(os.getpid(), signal.SIGKILL)
        finally:
            busy.clear()

    sys.addaudithook(watch)

_hook()
"""


class Modules:
    """The modules that run on one stand-in while the hook is there."""

    def __init__(self, fleet: Rehearsal, host: str) -> None:
        self._fleet = fleet
        self._host = host

    def kill_at(self, words: str) -> None:
        """Have the next module that gets to these words killed there; with no words only record."""
        place = json.dumps({"words": words}).replace("'", "'\\''")
        line = f"rm -rf {DIRECTORY} && mkdir -m 700 {DIRECTORY} && printf %s '{place}' > {DIRECTORY}/place"
        self._fleet.shell(self._host, line)

    def killed(self) -> bool:
        """Say whether a module has been killed since `kill_at`."""
        return self._fleet.host(self._host).file(f"{DIRECTORY}/struck").exists

    def events(self) -> list[str]:
        """Return the places that modules got to since `kill_at`, in order."""
        return self._fleet.shell(self._host, f"cat {DIRECTORY}/events 2>/dev/null || true").splitlines()


@contextmanager
def watched_modules(fleet: Rehearsal, host: str) -> Iterator[Modules]:
    """Have the hook on a stand-in while the block runs."""
    ask = "python3 -c 'import site; print(site.getsitepackages()[0])'"
    folder = fleet.shell(host, ask).strip()
    hook = (HOOK % {"directory": DIRECTORY}).replace("'", "'\\''")
    fleet.shell(host, f"mkdir -p {folder} && printf %s '{hook}' > {folder}/steelyard_test_hook.py")
    fleet.shell(host, f"echo 'import steelyard_test_hook' > {folder}/steelyard_test_hook.pth")
    try:
        yield Modules(fleet, host)
    finally:
        fleet.shell(host, f"rm -rf {folder}/steelyard_test_hook.* {folder}/__pycache__ {DIRECTORY}")
