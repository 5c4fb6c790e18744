"""Runs the parts of a suite one after the other, and ends with a table of parts and seconds.

All parts run, also after one failed, so that one run shows all that is wrong; `--stop` ends at the first failure.
A part's output goes to .build/log/<part>.log and is shown when the part fails. The exit status is 0 only when every
part passed; the last line is `N passed, N failed`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parts import PARTS, SUITES, Part

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build" / "log"
HEARTBEAT = 30.0  # seconds between lines that say a part still runs
TAIL = 300  # lines of a failed part's output that are shown
LEAVE = 30  # seconds a part has to clean up after SIGTERM


@dataclass(frozen=True)
class Outcome:
    """What became of a part."""

    part: Part
    passed: bool
    seconds: float
    note: str


def say(text: str) -> None:
    """Print at once: the output of parts that are shown as they run comes between."""
    print(text, flush=True)


def last_line(log: Path) -> str:
    """The last line of a log that says something, shortened; runners sum up there."""
    lines = [line.strip(" =") for line in log.read_text(errors="replace").splitlines() if line.strip(" =-")]
    return lines[-1][:70] if lines else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """End a part with all it started: asked first, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(LEAVE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def wait(process: subprocess.Popen[bytes], part: Part, log: Path, began: float) -> str:
    """Wait for the end of a part; return what is wrong, or nothing."""
    while True:
        left = part.limit - (time.monotonic() - began)
        if left <= 0:
            end(process)
            return f"ended after its limit of {part.limit} s"
        try:
            status = process.wait(min(HEARTBEAT, left))
        except subprocess.TimeoutExpired:
            say(f"   {part.name}: {time.monotonic() - began:.0f} s … {last_line(log)}")
            continue
        return f"exit status {status}" if status else ""


def run(part: Part, verbose: bool) -> Outcome:
    """Run one part."""
    say(f"\n== {part.name}: {part.what} (budget {part.budget} s)\n   $ {shlex.join(part.argv)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{part.name}.log"
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            part.argv,
            cwd=ROOT,
            env={**os.environ, **part.env},
            stdin=subprocess.DEVNULL,
            stdout=None if verbose else out,
            stderr=None if verbose else subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wrong = wait(process, part, log, began)
        except BaseException:
            end(process)
            raise
    seconds = time.monotonic() - began
    if wrong and not verbose:
        lines = log.read_text(errors="replace").splitlines()
        if len(lines) > TAIL:
            say(f"   … {len(lines) - TAIL} lines before these are in {log.relative_to(ROOT)}")
        say("\n".join(f"   | {line}" for line in lines[-TAIL:]))
    say(f"   {part.name}: {'FAILED, ' + wrong if wrong else 'passed'} in {seconds:.1f} s")
    return Outcome(part, not wrong, seconds, wrong or last_line(log))


def table(outcomes: Sequence[Outcome]) -> str:
    """Parts, seconds, budgets, and what each said last."""
    width = max(len(o.part.name) for o in outcomes)
    rows = [f"{'part':<{width}}  {'seconds':>8}  {'budget':>7}  result"]
    for o in outcomes:
        over = "over" if o.seconds > o.part.budget else ""
        word = "passed" if o.passed else "FAILED"
        rows.append(
            f"{o.part.name:<{width}}  {o.seconds:>8.1f}  {o.part.budget:>7}  {word}  {over:<4}  {o.note}".rstrip()
        )
    total = sum(o.seconds for o in outcomes)
    rows.append(f"{'all':<{width}}  {total:>8.1f}  {sum(o.part.budget for o in outcomes):>7}")
    return "\n".join(rows)


def chosen(suite: str | None, names: Sequence[str]) -> list[Part]:
    """The parts of a suite, or those named; an unknown name or an empty list ends the run."""
    known = {part.name: part for part in PARTS}
    wanted = list(SUITES[suite]) if suite else []
    wanted += names
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise SystemExit(f"parts: no such part: {', '.join(unknown) or '(none named)'}; there are: {', '.join(known)}")
    return [known[name] for name in wanted]


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=sorted(SUITES))
    parser.add_argument("--stop", action="store_true", help="end at the first failure")
    parser.add_argument("--verbose", action="store_true", help="show the output of parts as it comes")
    parser.add_argument("parts", nargs="*", help=", ".join(part.name for part in PARTS))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    outcomes: list[Outcome] = []
    parts = chosen(options.suite, options.parts)
    try:
        for part in parts:
            outcomes.append(run(part, options.verbose))
            if options.stop and not outcomes[-1].passed:
                break
    except KeyboardInterrupt:
        say("\nparts: interrupted")
    failed = len(parts) - sum(o.passed for o in outcomes)  # what did not run did not pass
    if outcomes:
        say("\n" + table(outcomes))
    say(f"\n{len(parts) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
