"""Archives: what is refused before anything is unpacked, and that a release is whole or not there."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.app import client, model, releases
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "app"
    for module in (model, releases):
        monkeypatch.setattr(module, "ROOT", str(home))
    monkeypatch.setattr(releases.os, "lchown", lambda *_: None)
    return home


def archive(tmp_path: Path, *members: tuple[str, str | bytes | None], name: str = "demo-1.0.0.tar.gz") -> model.Release:
    """Write an archive of (name, content) pairs, a text being a link's target; return the release."""
    path = tmp_path / name
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member)
            info.mode = 0o777
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type = tarfile.DIRTYPE if content is None else tarfile.SYMTYPE
                info.linkname = content or ""
                tar.addfile(info)
    return model.Release("1.0.0", str(path), releases.sha256_of(path))


def test_a_release_is_unpacked_and_noted(tmp_path: Path, root: Path) -> None:
    release = archive(tmp_path, ("demo", None), ("demo/bin/serve", b"#!/bin/sh\n"), ("demo/lib", "bin"))
    releases.install(release, Path(release.src), [])
    target = Path(release.path)
    assert (target / "bin/serve").stat().st_mode & 0o777 == 0o755
    assert os.readlink(target / "lib") == "bin"
    seen = client.read_releases(str(root))
    assert seen[release.id].complete
    assert seen[release.id].checksum == release.checksum
    assert not (target / client.PARTIAL_NOTE).exists()


@pytest.mark.parametrize(
    "member",
    [("../evil", b"x"), ("/etc/evil", b"x"), ("a/../../evil", b"x"), ("link", "/etc"), ("a/link", "../../etc"),
     ("link", "../x/../../y")],
)  # fmt: skip
def test_an_archive_may_not_leave_its_directory(tmp_path: Path, member: tuple[str, str | bytes]) -> None:
    release = archive(tmp_path, ("ok", b"x"), member)
    with pytest.raises(Refused, match="stays in its own directory"):
        releases.install(release, Path(release.src), [])
    assert not Path(release.path).exists()


@pytest.mark.parametrize("filtered", [True, False], ids=["filter", "early Python"])
def test_a_link_that_goes_up_through_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filtered: bool
) -> None:
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter")
    release = archive(tmp_path, ("ok", b"x"), ("here", "."), ("here/up", ".."), ("here/up/evil", b"x"))
    with pytest.raises(SteelyardError):
        releases.install(release, Path(release.src), [])
    assert not Path(release.path).exists()
    assert not Path(release.path).with_name("evil").exists()


@pytest.mark.parametrize("filtered", [True, False], ids=["filter", "early Python"])
def test_a_link_that_goes_up_inside_is_only_taken_where_the_filter_looks_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filtered: bool
) -> None:
    release = archive(tmp_path, ("lib/one", b"x"), ("bin/one", "../lib/one"))
    if filtered:
        releases.install(release, Path(release.src), [])
        assert Path(release.path, "bin/one").read_bytes() == b"x"
        return
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(Refused, match="stays in its own directory"):
        releases.install(release, Path(release.src), [])


def test_a_device_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("null")
        info.type = tarfile.CHRTYPE
        tar.addfile(info)
    release = model.Release("1.0.0", str(path), releases.sha256_of(path))
    with pytest.raises(Refused, match="stays in its own directory"):
        releases.install(release, path, [])


def test_a_wrong_checksum_is_refused_before_anything_is_made(tmp_path: Path, root: Path) -> None:
    release = archive(tmp_path, ("bin/serve", b"x"))
    wrong = model.Release(release.version, release.src, "sha256:" + "0" * 64)
    with pytest.raises(Refused, match="has the checksum") as caught:
        releases.install(wrong, Path(wrong.src), [])
    assert release.checksum in str(caught.value)
    assert not root.exists()


@pytest.mark.parametrize(("environment", "noted"), [(True, "/usr/bin/python3.99"), (False, "")])
def test_the_note_names_the_interpreter_of_the_environment(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, environment: bool, noted: str
) -> None:
    def build(_release: model.Release, target: Path, *_: object) -> None:
        if environment:
            (target / "venv").mkdir()

    monkeypatch.setattr(releases, "_build", build)
    monkeypatch.setattr(releases, "_try", lambda *_: None)
    release = archive(tmp_path, ("bin/serve", b"x"))
    releases.install(release, Path(release.src), [], "/usr/bin/python3.99")
    assert client.read_releases(str(root))[release.id].python == noted


def test_an_unfinished_release_is_wiped_and_made_again(tmp_path: Path, root: Path) -> None:
    release = archive(tmp_path, ("bin/serve", b"x"))
    target = Path(release.path)
    target.mkdir(parents=True)
    (target / client.PARTIAL_NOTE).touch()
    (target / "junk").write_text("half")
    assert not client.read_releases(str(root))[release.id].complete
    releases.install(release, Path(release.src), [])
    assert not (target / "junk").exists()
    assert client.read_releases(str(root))[release.id].complete


def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    release = archive(tmp_path, ("bin/serve", b"x"))
    Path(release.path).mkdir(parents=True)
    Path(release.path, "precious").write_text("data")
    with pytest.raises(Refused, match="was made by us"):
        releases.install(release, Path(release.src), [])
    assert Path(release.path, "precious").read_text() == "data"


def test_a_release_that_fails_its_check_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(release: model.Release, argv: object) -> None:
        raise releases.ReleaseFailed("`check` succeeds", "no", "repair it", release.id)

    monkeypatch.setattr(releases, "_try", fail)
    release = archive(tmp_path, ("bin/serve", b"x"))
    with pytest.raises(SteelyardError):
        releases.install(release, Path(release.src), [["/bin/false"]])
    assert not Path(release.path).exists()


def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0.0.tar.gz"
    path.write_bytes(b"not an archive")
    release = model.Release("1.0.0", str(path), releases.sha256_of(path))
    with pytest.raises(releases.ReleaseFailed, match="can be unpacked"):
        releases.install(release, path, [])
    assert not Path(release.path).exists()


def test_removal_that_is_interrupted_leaves_an_unfinished_release(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = archive(tmp_path, ("bin/serve", b"x"))
    releases.install(release, Path(release.src), [])
    monkeypatch.setattr(releases.shutil, "rmtree", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        releases.remove(release.id)
    assert not client.read_releases(str(root))[release.id].complete


def test_archives_on_the_control_machine_are_judged_all_at_once(tmp_path: Path) -> None:
    good = archive(tmp_path, ("bin/serve", b"x"))
    wrong = model.Release("1.0.0", good.src, "sha256:" + "0" * 64)
    absent = model.Release("2", str(tmp_path / "none-2.tar.gz"), good.checksum)
    elsewhere = model.Release("3", "https://example.org/none-3.tar.gz", good.checksum)
    there = model.Release("4", "/none-4.tar.gz", good.checksum, remote_src=True)

    def find(src: str) -> str | None:
        return src if os.path.exists(src) else None

    found = releases.archive_problems([good, wrong, wrong, absent, elsewhere, there], find)
    assert [p.rule.split("sha256")[0] for p in found] == [
        f"{good.src} has the checksum ", "the archive is on the control machine",
    ]  # fmt: skip
    assert all(p.remedy for p in found)


def test_an_archive_that_several_releases_name_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = archive(tmp_path, ("bin/serve", b"x"))
    other = model.Release(one.version, one.src, one.checksum, check=("true",))
    read: list[Path] = []

    def checksum_of(path: Path) -> str:
        read.append(path)
        return one.checksum

    monkeypatch.setattr(releases, "sha256_of", checksum_of)
    assert releases.archive_problems([one, other], lambda src: src) == []
    assert read == [Path(one.src)]


def test_an_archive_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    release = model.Release("1", str(tmp_path), "sha256:" + "0" * 64)  # a directory, and root may read any file
    (problem,) = releases.archive_problems([release], lambda src: src)
    assert problem.rule == "the release's archive can be read"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A web server on loopback with the files of `tmp_path`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_release_is_downloaded_as_it_is(tmp_path: Path, url: str) -> None:
    local = archive(tmp_path, ("demo/bin/serve", b"#!/bin/sh\n"))
    release = model.Release("1.0.0", f"{url}/demo-1.0.0.tar.gz", local.checksum)
    (tmp_path / "private").mkdir()
    releases.require_checksum(releases.download(release, tmp_path / "private"), release)


def test_a_download_that_fails_names_the_url(tmp_path: Path, url: str) -> None:
    for wrong in (f"{url}/gone-1.0.0.tar.gz", "http://127.0.0.1:1/gone-1.0.0.tar.gz"):
        release = model.Release("1.0.0", wrong, "sha256:" + "0" * 64)
        with pytest.raises(SteelyardError, match=wrong):
            releases.download(release, tmp_path)
