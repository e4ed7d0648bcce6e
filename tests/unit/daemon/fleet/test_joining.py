from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from cutoutd.config.fleet import SharedFolder
from cutoutd.config.settings import Settings
from cutoutd.daemon.files.mounts import inode_of
from cutoutd.daemon.fleet.joining import Here, JoinError, agree, edge_engine, same_version, terms_of
from cutoutd.daemon.fleet.paths import PathMap
from cutoutd.daemon.fleet.records import Terms
from cutoutd.daemon.plan import make_plan
from cutoutd.daemon.workers.codec import dumps, from_json, loads


def head_terms(root: Path) -> Terms:
    for name in ("inbox", "outbox"):
        (root / name).mkdir(exist_ok=True)
    settings = Settings.model_validate({"inbox": [{"path": root / "inbox", "outbox": root / "outbox"}]})
    plan = make_plan(settings, root / "models", None)
    present = [(root / name, inode_of(root / name) or (0, 0)) for name in ("inbox", "outbox")]
    return terms_of(plan, "life", present)


def here(root: Path, *, write: bool = True, other: str = "") -> Here:
    folders = [
        SharedFolder(head=str(root / "inbox"), here=root / (other or "inbox")),
        SharedFolder(head=str(root / "outbox"), here=root / "outbox", write=write),
    ]
    return Here(PathMap.of(folders), 2, root / "state", root / "models", None)


def test_the_same_program_with_the_same_folders_agrees(tmp_path: Path) -> None:
    bound = agree(head_terms(tmp_path), here(tmp_path))
    assert bound.size.size == 2
    assert [setup.write_paths for setup in bound.setups] == [(tmp_path / "outbox",)] * 2
    assert tmp_path / "inbox" in bound.setups[0].read_paths
    assert bound.inodes[os.fsencode(tmp_path / "outbox")] == inode_of(tmp_path / "outbox")
    assert bound.setups[0].sandbox


def test_terms_survive_the_way(tmp_path: Path) -> None:
    terms = head_terms(tmp_path)
    assert from_json(Terms, loads(dumps(terms), trusted=True), trusted=True) == terms


def test_terms_name_no_path_of_the_heads_own_models(tmp_path: Path) -> None:
    terms = head_terms(tmp_path)
    assert [spec.path for spec in terms.engines.specs] == [None]
    assert {one.path: one.write for one in terms.folders} == {
        os.fsencode(tmp_path / "inbox"): False,
        os.fsencode(tmp_path / "outbox"): True,
    }


def refused(terms: Terms, place: Here) -> JoinError:
    with pytest.raises(JoinError) as caught:
        agree(terms, place)
    return caught.value


def test_another_version_is_refused(tmp_path: Path) -> None:
    error = refused(replace(head_terms(tmp_path), version="0.0.1"), here(tmp_path))
    assert "0.0.1" in error.what
    assert not error.again
    with pytest.raises(JoinError):
        same_version(7)


def test_another_edge_engine_is_refused(tmp_path: Path) -> None:
    assert edge_engine() == edge_engine()
    assert "edge engine" in refused(replace(head_terms(tmp_path), edges="00"), here(tmp_path)).what


def test_another_network_of_that_name_is_refused(tmp_path: Path) -> None:
    terms = head_terms(tmp_path)
    specs = tuple(replace(spec, sha256="00" * 32) for spec in terms.engines.specs)
    error = refused(replace(terms, engines=replace(terms.engines, specs=specs)), here(tmp_path))
    assert "another file" in error.what


def test_a_network_that_is_missing_may_come(tmp_path: Path) -> None:
    terms = head_terms(tmp_path)
    specs = tuple(replace(spec, name="u2net") for spec in terms.engines.specs)
    error = refused(replace(terms, engines=replace(terms.engines, specs=specs)), here(tmp_path))
    assert "u2net" in error.what
    assert error.again


def test_another_folder_under_the_name_is_refused(tmp_path: Path) -> None:
    terms = head_terms(tmp_path)
    (tmp_path / "empty").mkdir()
    error = refused(terms, here(tmp_path, other="empty"))
    assert "inode" in error.what
    assert error.again


def test_a_share_that_is_not_mounted_is_refused(tmp_path: Path) -> None:
    error = refused(head_terms(tmp_path), here(tmp_path, other="nowhere"))
    assert "mount" in error.what
    assert error.again


def test_an_outbox_must_be_one_here_too(tmp_path: Path) -> None:
    assert "write = true" in refused(head_terms(tmp_path), here(tmp_path, write=False)).what


def test_a_folder_that_the_node_does_not_share_is_refused(tmp_path: Path) -> None:
    terms = head_terms(tmp_path)
    strange = replace(terms.folders[0], path=b"/etc")
    assert "/etc" in refused(replace(terms, folders=(*terms.folders, strange)), here(tmp_path)).what
