"""Small words for hosts and wishes, and a simulated host that steps are applied to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.app import unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance, Slice, instances_of
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, unplaced
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen, SeenInstance, SeenRelease
from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import SeenFile, WantedFile
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step

OLD = "0123456789abcdef"


def checksum(version: str) -> str:
    return "sha256:" + version.encode().hex().ljust(64, "0")[:64]


def app_class(version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {
        "ports": [8000],
        "release": {"version": version, "src": f"/srv/demo-{version}.tar.gz", "checksum": checksum(version)},
        "command": "{release}/bin/serve --host {address} --port {port}",
        "readiness": "/readyz",
        "memory_max": "128mb",
        **more,
    }


def host(classes: Mapping[str, Any], name: str = "api1", groups: Sequence[str] = ("api",), **more: Any) -> Host:
    return Host(name, frozenset(groups), {"app_classes": classes, "ansible_host": "192.0.2.11", **more})


def instances(classes: Mapping[str, Any], **more: Any) -> tuple[Instance, ...]:
    found = host(classes, **more)
    return instances_of(Fleet((found,)), found)


def as_seen(files: Sequence[WantedFile]) -> dict[str, SeenFile]:
    return {f.path: SeenFile("file", f.content, f.mode, f.owner, f.group) for f in files}


def serving(instance: Instance) -> SeenInstance:
    """Return an instance that runs and is ready, with exactly what is wanted."""
    digest, name = unit_files.config_digest(instance), instance.release.id
    return SeenInstance(
        instance.port, instance.class_name, "active", True, digest, name, name, digest, name, 100.0, True, "200"
    )


def converged(wanted: Sequence[Instance], whole: Slice) -> Seen:
    """Return a host where nothing is left to do."""
    placed = [i for i in wanted if i.state != "leaving"]
    releases = {i.release.id: SeenRelease(i.release.id, i.release.checksum, 1.0) for i in placed}
    return Seen(
        user=bool(placed),
        files=as_seen(unit_files.host_files(placed, whole)),
        instances={i.port: serving(i) for i in placed},
        releases=releases,
        current={i.class_name: i.release.id for i in placed},
        leftovers=("releases",) if placed else (),
    )


def simulate(seen: Seen, wish: Wish, step: Step, ready: bool = True) -> Seen:
    """Return the host as it is after one step; what the executor does to a real one."""
    placed = {i.port: i for i in wish.placed}
    number = int(step.subject) if step.subject.isdigit() else 0
    now = seen.instances.get(number, SeenInstance(number))
    if step.verb == "create user":
        return replace(seen, user=True, leftovers=(*seen.leftovers, "user"))
    if step.verb == "install":
        release = wish.releases[step.subject]
        made = SeenRelease(
            release.id, release.checksum, max([r.installed for r in seen.releases.values()], default=0) + 1
        )
        return replace(seen, releases={**seen.releases, release.id: made}, leftovers=(*seen.leftovers, release.id))
    if step.verb == "configure":
        files = {**seen.files, **as_seen(unit_files.host_files(wish.placed, wish.whole))}
        known = {
            p: replace(seen.instances.get(p, SeenInstance(p)), file_release=i.release.id, class_name=i.class_name)
            for p, i in placed.items()
        }
        return replace(seen, files=files, loaded=False, instances={**seen.instances, **known}, leftovers=("files",))
    if step.verb == "reload":
        return replace(seen, loaded=True)
    if step.verb in ("start", "restart"):
        made_now = replace(serving(placed[number]), ready=False, started=1e9)
        made_now = replace(made_now, good_config=now.good_config, good_release=now.good_release)
        return replace(seen, instances={**seen.instances, number: made_now})
    if step.verb == "enable":
        return replace(seen, instances={**seen.instances, number: replace(now, enabled=True)})
    if step.verb == "prove":
        digest = unit_files.config_digest(placed[number])
        proven = replace(now, ready=ready, good_config=digest, good_release=placed[number].release.id)
        return replace(seen, instances={**seen.instances, number: proven})
    if step.verb == "switch":
        name = next(i.release.id for i in reversed(wish.placed) if i.class_name == step.subject)
        return replace(seen, current={**seen.current, step.subject: name})
    return _simulate_removal(seen, wish, step, number, now)


def _simulate_removal(seen: Seen, wish: Wish, step: Step, number: int, now: SeenInstance) -> Seen:
    if step.verb == "stop":
        stopped = replace(now, active="inactive", config="", release="", ready=False)
        return replace(seen, instances={**seen.instances, number: stopped})
    if step.verb == "remove":
        assert number in unplaced(seen, wish)
        gone = {*unit_files.instance_paths(number)}
        return replace(
            seen,
            instances={p: i for p, i in seen.instances.items() if p != number},
            files={p: f for p, f in seen.files.items() if p not in gone},
        )
    if step.verb == "drop class":
        path = unit_files.slice_path(step.subject)
        return replace(
            seen,
            files={p: f for p, f in seen.files.items() if p != path},
            current={c: r for c, r in seen.current.items() if c != step.subject},
        )
    if step.verb == "prune":
        used = {r for i in seen.instances.values() for r in (i.release, i.file_release, i.good_release)}
        assert step.subject not in used | set(seen.current.values()), f"{step.subject} is in use"
        return replace(seen, releases={n: r for n, r in seen.releases.items() if n != step.subject})
    if step.verb == "clean":
        return Seen()
    raise AssertionError(f"the simulation does not know {step.verb}")
