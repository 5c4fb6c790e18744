"""The main job, from an empty machine to a scaled fleet: what `make demo` runs after the set-up.

Brings up a lab for inventories/market, builds the fleet with site.yml, verifies it, then adds and removes an API
host while a real load generator counts failed requests. Leaves the lab running and says how to go on.
The screen has a line a step, the plans and the counts; what the commands print goes to .lab/demo.log.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.load import load  # noqa: E402  the tests' own load generator, so that both count alike
from support.state import served_by  # noqa: E402

INVENTORY = Path("inventories/market")
OVERLAY = Path(".lab/market")
SCENE = Path(".build/demo/api3.yml")
LOG = Path(".lab/demo.log")
BIN = Path(sys.prefix) / "bin"
TAIL = 40  # lines of the log that are shown when a command fails
BEAT = 10  # seconds between two dots, so that a long step is seen to live


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def run(*words: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command, shown as it can be typed, its output in the log; return that. Ends the demo when it fails."""
    line = [str(w) for w in words]
    shown = shlex.join([Path(line[0]).name, *line[1:]])
    print(f"$ {shown}", end="  ", flush=True)
    begun = time.monotonic()
    with (ROOT / LOG).open("a+b") as log:
        log.write(f"\n$ {shown}\n".encode())
        log.flush()
        start = log.tell()
        process = subprocess.Popen(
            [str(BIN / line[0]), *line[1:]], cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **(env or {})}
        )
        while True:
            try:
                code = process.wait(timeout=BEAT)
                break
            except subprocess.TimeoutExpired:
                print(".", end="", flush=True)
        log.seek(start)
        output = log.read().decode(errors="replace")
    print(f" {time.monotonic() - begun:.0f} s", flush=True)
    if code:
        print("\n".join(output.splitlines()[-TAIL:]))
        raise SystemExit(
            f"\ndemo: that ended with {code}. All of it is in {LOG}; the lab is left as it is: "
            f"steelyard lab status {INVENTORY}"
        )
    return output


def play(playbook: str, *words: str, also: tuple[Path, ...] = (), show_plan: bool = False) -> None:
    """Run one playbook on the lab, and show its plan or what it changed; `also` are further inventory sources."""
    sources = [word for source in (INVENTORY, *also, OVERLAY) for word in ("-i", str(source))]
    with tempfile.TemporaryDirectory(prefix="steelyard-demo-") as results:
        environment = {"STEELYARD_RESULT_DIR": results, "ANSIBLE_NOCOLOR": "1"}
        output = run("ansible-playbook", *sources, f"playbooks/{playbook}.yml", *words, env=environment)
        plan = scale_plan(Path(results))
    if show_plan and plan is not None:
        print(plan.as_table().rstrip(), flush=True)
    else:
        print(f"  {recap(output)}", flush=True)


def scale_plan(results: Path) -> Plan | None:
    """Return the plan that a run of scale.yml wrote, None when it wrote none."""
    for path in sorted(results.glob("*.json"), reverse=True):
        answer: dict[str, Any] = json.loads(path.read_text())
        if answer["action"].endswith(".scale_plan") and isinstance(answer.get("plan"), dict):
            return Plan.from_summary(answer["plan"])
    return None


def recap(output: str) -> str:
    """Return Ansible's last lines as one: what was changed on which host."""
    changed = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, re.M)
    return "changes: " + (", ".join(f"{host} {count}" for host, count in changed if int(count)) or "none")


def write_scene(**line: str) -> None:
    """Write the scene's inventory: one more API host, with these variables."""
    path = ROOT / SCENE
    path.parent.mkdir(parents=True, exist_ok=True)
    host = {"ansible_host": "192.0.2.23", "lab_memory": "384mb", **line}
    content = yaml.safe_dump({"api": {"hosts": {"api3": host}}}, sort_keys=False, default_flow_style=None)
    path.write_text(content)
    print(f"{SCENE}:\n  " + content.rstrip().replace("\n", "\n  "), flush=True)


def scene(url: str) -> int:
    """Add and remove api3 under load; return the number of failed requests."""
    say("One more machine in the inventory")
    write_scene()
    run("steelyard", "lab", "up", INVENTORY, "--also", SCENE)
    with load(f"{url}/quotes", clients=4, rate=25, limit=1800) as report:
        say("Under load from here on: the plan; a dry run changes nothing")
        play("scale", "--check", "--diff", also=(SCENE,), show_plan=True)
        say("The same, done")
        play("scale", also=(SCENE,))
        print(show(served_by(url, 30)))
        say("The machine is to leave")
        write_scene(steelyard_state="leaving")
        play("scale", also=(SCENE,), show_plan=True)
        print(show(served_by(url, 30)))
    say(f"Under load all the while: {report.total} requests, {report.failed} failed, p99 {report.p99 * 1000:.0f} ms")
    if report.failed:
        print(report.text)
    return report.failed


def show(answers: Counter[str]) -> str:
    """Return a small bar chart of who answered."""
    return "\n".join(f"  {host:<8} {'#' * n} {n}" for host, n in sorted(answers.items()))


def closing(url: str) -> str:
    """Return the commands to go on with, in two columns."""
    both = f"-i {INVENTORY} -i {OVERLAY}"
    lines = (
        (f"curl {url}/whoami", "a request"),
        (f"steelyard lab status {INVENTORY}", "the machines"),
        (f"steelyard lab ssh {INVENTORY} api1", "a shell on one of them"),
        (f"ansible-playbook {both} playbooks/site.yml", "changes nothing now"),
        (f"$EDITOR {INVENTORY}/hosts.yml", "your own scaling step: add a line,"),
        (f"steelyard lab up {INVENTORY}", "its stand-in,"),
        (f"ansible-playbook {both} playbooks/scale.yml --check --diff", "its plan"),
        (f"steelyard lab down {INVENTORY}", "removes all of it"),
    )
    width = max(len(command) for command, _meaning in lines)
    return "\n".join(
        f"  {command:<{width}}  # {meaning}"
        for command, meaning in ((". .venv/bin/activate", "the commands below"), *lines)
    )


def main() -> int:
    """Run the demo; return 1 when a request failed."""
    start = time.monotonic()
    (ROOT / LOG).parent.mkdir(mode=0o700, exist_ok=True)
    (ROOT / LOG).write_bytes(b"")
    print(f"Everything that these commands print is in {LOG}")
    say("The application's release, from examples/market_api")
    run("python", "examples/market_api/build_release.py")
    say(f"A stand-in for every machine of {INVENTORY}")
    run("steelyard", "lab", "up", INVENTORY)
    say("The whole fleet, from the inventory")
    play("site")
    play("verify")
    address = yaml.safe_load((ROOT / OVERLAY / "host_vars" / "lb1.yml").read_text())["ansible_host"]
    url = f"http://{address}"
    say(f"Thirty requests through the balancer, {url}/whoami")
    print(show(served_by(url, 30)))
    failed = scene(url)
    say("The machine that left is given back")
    run("steelyard", "lab", "down", INVENTORY, "api3")
    run("steelyard", "lab", "up", INVENTORY)
    say(f"Done in {time.monotonic() - start:.0f} s, {failed} failed requests. The lab is left running:")
    print(closing(url))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
