"""The main job, from an empty machine to a scaled fleet: what `make demo` runs after the set-up.

Brings up a lab for inventories/market, builds the fleet with site.yml, verifies it, then adds and removes an API
host while a real load generator counts failed requests. Leaves the lab running and says how to go on.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.load import load  # noqa: E402  the tests' own load generator, so that both count alike
from support.state import served_by  # noqa: E402

INVENTORY = Path("inventories/market")
OVERLAY = Path(".lab/market")
SCENE = Path(".build/demo/api3.yml")
BIN = Path(sys.prefix) / "bin"


def say(text: str) -> None:
    """Print a heading that stands out between Ansible's lines."""
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def run(*words: str | Path) -> None:
    """Run a command and show it as it can be typed; ends the demo when it fails."""
    line = [str(w) for w in words]
    print(f"$ {shlex.join([Path(line[0]).name, *line[1:]])}", flush=True)
    done = subprocess.run([str(BIN / line[0]), *line[1:]], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(
            f"demo: that ended with {done.returncode}; the lab is left as it is: steelyard lab status {INVENTORY}"
        )


def play(playbook: str, *words: str, also: tuple[Path, ...] = ()) -> None:
    """Run one playbook on the lab; `also` are further inventory sources."""
    sources = [word for source in (INVENTORY, *also, OVERLAY) for word in ("-i", str(source))]
    run("ansible-playbook", *sources, f"playbooks/{playbook}.yml", *words)


def write_scene(**line: str) -> None:
    """Write the scene's inventory: one more API host, with these variables."""
    path = ROOT / SCENE
    path.parent.mkdir(parents=True, exist_ok=True)
    host = {"ansible_host": "192.0.2.23", "lab_memory": "384mb", **line}
    path.write_text(yaml.safe_dump({"api": {"hosts": {"api3": host}}}, sort_keys=False))


def scene(url: str) -> int:
    """Add and remove api3 under load; return the number of failed requests."""
    write_scene()
    say(f"One more machine in the inventory: api3, in {SCENE}")
    print((ROOT / SCENE).read_text())
    run("steelyard", "lab", "up", INVENTORY, "--also", SCENE)
    with load(f"{url}/quotes", clients=4, rate=25, limit=600) as report:
        say("The plan: what would be done, and nothing is")
        play("scale", "--check", "--diff", also=(SCENE,))
        say("The same, done")
        play("scale", also=(SCENE,))
        print(show(served_by(url, 30)))
        say("api3 is marked `steelyard_state: leaving`")
        write_scene(steelyard_state="leaving")
        play("scale", also=(SCENE,))
        print(show(served_by(url, 30)))
    say(f"Under load all the while: {report.total} requests, {report.failed} failed, p99 {report.p99 * 1000:.0f} ms")
    if report.failed:
        print(report.text)
    return report.failed


def show(answers: Counter[str]) -> str:
    """Return a small bar chart of who answered."""
    return "\n".join(f"  {host:<8} {'#' * n} {n}" for host, n in sorted(answers.items()))


def main() -> int:
    """Run the demo; return 1 when a request failed."""
    start = time.monotonic()
    say("The application's release, from examples/market_api")
    run("python", "examples/market_api/build_release.py")
    say("A stand-in for every machine of inventories/market")
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
    print(
        f"""
  curl {url}/whoami                                    a request
  .venv/bin/steelyard lab status {INVENTORY}      the machines
  .venv/bin/steelyard lab ssh {INVENTORY} api1    a shell on one of them
  .venv/bin/ansible-playbook -i {INVENTORY} -i {OVERLAY} playbooks/site.yml    changes nothing now
  $EDITOR {INVENTORY}/hosts.yml, then playbooks/scale.yml --check --diff       your own scaling step
  .venv/bin/steelyard lab down {INVENTORY}        removes all of it"""
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
