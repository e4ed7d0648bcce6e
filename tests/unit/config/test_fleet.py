from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from cutoutd.config.errors import ConfigError
from cutoutd.config.fleet import Fleet, load_node, scheduler_address

NODE = 'name = "anna"\nscheduler = "tls://head:8786"\n[[folder]]\nhead = "/in"\nhere = "/mnt/in"\n'


def test_alone_is_the_default() -> None:
    fleet = Fleet()
    assert (fleet.scheduler, fleet.local) == ("", True)


@pytest.mark.parametrize("address", ["tls://head:8786", "tls://192.168.1.7:1", "tls://[fe80::1]:8786"])
def test_an_address_is_tls_with_a_port(address: str) -> None:
    assert scheduler_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "head:8786",
        "tcp://head:8786",
        "tls://head",
        "tls://head:port",
        "tls://head:1/x",
        "tls://u@h:1",
        "tls://[::1",
    ],
)
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="tls://HOST:8786"):
        scheduler_address(address)


def test_a_scheduler_needs_certificates() -> None:
    with pytest.raises(ValidationError, match="fleet init"):
        Fleet(scheduler="tls://head:8786")


def test_somebody_must_work() -> None:
    with pytest.raises(ValidationError, match="nobody"):
        Fleet(local=False)


def test_a_node_reads_its_file(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(NODE + "write = true\n")
    node = load_node(file)
    assert (node.name, node.slots, node.folder[0].here, node.folder[0].write) == (
        "anna",
        0,
        Path("/mnt/in"),
        True,
    )


def test_a_folder_of_a_nodes_file_starts_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(NODE.replace("/mnt/in", "in"))
    assert load_node(file).folder[0].here == tmp_path / "in"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name =", "not valid TOML"),
        (NODE.replace('"/in"', '"in"'), "absolute"),
        (NODE.replace('"anna"', '"Anna B"'), "name"),
        (NODE + "speed = 9\n", "speed"),
        ('name = "anna"\nscheduler = "tls://h:1"\n', "folder"),
        (NODE.replace('"tls://head:8786"', '""'), "scheduler"),
    ],
)
def test_its_mistakes_are_told(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_node(file)


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fleet init"):
        load_node(tmp_path / "node.toml")
