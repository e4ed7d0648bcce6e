from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from cutoutd.config.errors import UsageError
from cutoutd.config.fleet import load_node
from cutoutd.config.settings import Settings
from cutoutd.service.fleet.folders import instructions, make, shared_folders

ADDRESS = "tls://head.lan:8786"


def settings(root: Path) -> Settings:
    inbox = {
        "path": root / "in",
        "outbox": root / "out",
        "after": {"action": "archive", "archive": root / "archive"},
        "output": {"background": str(root / "p" / "wall.jpg")},
    }
    return Settings.model_validate({"inbox": [inbox]})


def test_a_node_gets_a_folder_that_it_can_read(tmp_path: Path) -> None:
    (own,) = make(tmp_path / "fleet", ["anna"], settings(tmp_path), ADDRESS)
    assert {path.name for path in own.iterdir()} == {"ca.pem", "node.pem", "node.key", "node.toml"}
    node = load_node(own / "node.toml")
    assert (node.name, node.scheduler) == ("anna", ADDRESS)
    assert {one.head: one.write for one in node.folder} == {
        str(tmp_path / "in"): False,
        str(tmp_path / "out"): True,
        str(tmp_path / "archive"): False,
        str(tmp_path / "p"): False,
    }


def test_a_second_time_adds_and_keeps(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    make(folder, ["anna"], settings(tmp_path), ADDRESS)
    kept = [folder / name for name in ("ca.pem", "head.pem", "nodes/anna/node.pem")]
    before = [path.read_bytes() for path in kept]
    make(folder, ["anna", "bert"], settings(tmp_path), ADDRESS)
    assert [path.read_bytes() for path in kept] == before
    make(folder, ["anna"], settings(tmp_path), ADDRESS, renew=True)
    after = [path.read_bytes() for path in kept]
    assert after[0] == before[0]
    assert after[1:] != before[1:]


def test_a_node_file_that_was_edited_stays(tmp_path: Path) -> None:
    (own,) = make(tmp_path / "fleet", ["anna"], settings(tmp_path), ADDRESS)
    (own / "node.toml").write_text("# mine")
    make(tmp_path / "fleet", ["anna"], settings(tmp_path), ADDRESS, renew=True)
    assert (own / "node.toml").read_text() == "# mine"


@pytest.mark.parametrize("name", ["../x", "Anna", "", "a b", "-a"])
def test_a_name_that_could_be_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        make(tmp_path / "fleet", [name], settings(tmp_path), ADDRESS)
    assert not (tmp_path / "fleet").exists()


def test_an_address_without_encryption_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tls://"):
        make(tmp_path / "fleet", ["anna"], settings(tmp_path), "tcp://head:8786")


def test_instructions_say_what_to_copy_and_to_add(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    written = make(tmp_path / "fleet", ["anna"], settings(tmp_path), ADDRESS)
    text = "\n".join(instructions(tmp_path / "fleet", written, ADDRESS, settings(tmp_path), config))
    for part in ("[fleet]", ADDRESS, str(written[0]), "fleet scheduler", "fleet node --from", "ca.key"):
        assert part in text
    there = settings(tmp_path).model_copy(
        update={
            "fleet": settings(tmp_path).fleet.model_copy(
                update={"scheduler": ADDRESS, "certificates": tmp_path / "fleet"}
            )
        }
    )
    assert "[fleet]" not in "\n".join(instructions(tmp_path / "fleet", [], ADDRESS, there, config))
    assert shared_folders(settings(tmp_path))[tmp_path / "out"]


def test_a_table_that_is_there_is_named_and_not_told_to_be_added_again(tmp_path: Path) -> None:
    """`cutoutd init` writes one, and TOML refuses a second."""
    config = tmp_path / "config.toml"
    config.write_text('[log]\nlevel = "info"\n\n[fleet]  # none yet\n#scheduler = ""\n')
    text = "\n".join(instructions(tmp_path / "fleet", [], ADDRESS, settings(tmp_path), config))
    assert f"Put into {config} below its line 4" in text
    assert f"cutoutd fleet scheduler --config {config}" in text
    config.write_text("")
    text = "\n".join(instructions(tmp_path / "fleet", [], ADDRESS, settings(tmp_path), config))
    assert f"Add to {config}" in text
