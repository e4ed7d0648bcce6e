from __future__ import annotations

import datetime as dt
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509

pytest.importorskip("cryptography")

from cutoutd.config.errors import ConfigError
from cutoutd.daemon.fleet.roles import Role, role_of
from cutoutd.service.fleet.certificates import authority, issue


def fleet(folder: Path, *, days: int = 10) -> Path:
    by = authority(folder)
    issue(folder / "head", by, Role.HEAD, "head", hosts=("127.0.0.1", "head.lan"))
    issue(folder / "node", by, Role.NODE, "anna", days=days)
    return folder


def handshake(server: Path, server_role: Role, client: Path, client_role: Role, asked: str) -> Role | None:
    """One TLS connection, each side checking the other; the role that the server sees."""
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(server / "ca.pem"))
    listening.load_cert_chain(server / f"{server_role}.pem", server / f"{server_role}.key")
    listening.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(client / "ca.pem"))
    calling.load_cert_chain(client / f"{client_role}.pem", client / f"{client_role}.key")
    here, there = socket.socketpair()
    seen: list[Role | None] = []

    def serve() -> None:
        try:
            with listening.wrap_socket(there, server_side=True) as made:
                seen.append(role_of(made.getpeercert()))
                made.sendall(b"!")
        except (ssl.SSLError, OSError):
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with calling.wrap_socket(here, server_hostname=asked) as made:
            made.recv(1)
    except (ssl.SSLError, OSError):
        here.close()
        seen.clear()
    thread.join(10)
    return seen[0] if seen else None


def test_keys_are_the_owners_alone(tmp_path: Path) -> None:
    fleet(tmp_path)
    for key in (tmp_path / "ca.key", tmp_path / "head" / "head.key", tmp_path / "node" / "node.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_each_side_proves_its_role(tmp_path: Path) -> None:
    fleet(tmp_path)
    head, node = tmp_path / "head", tmp_path / "node"
    assert handshake(head, Role.HEAD, node, Role.NODE, Role.HEAD.host) is Role.NODE
    assert handshake(node, Role.NODE, head, Role.HEAD, Role.NODE.host) is Role.HEAD
    # A node that plays the scheduler is not taken for it.
    assert handshake(node, Role.NODE, node, Role.NODE, Role.HEAD.host) is None


def test_another_authority_is_not_believed(tmp_path: Path) -> None:
    fleet(tmp_path / "ours")
    fleet(tmp_path / "theirs")
    assert (
        handshake(
            tmp_path / "ours" / "head", Role.HEAD, tmp_path / "theirs" / "node", Role.NODE, Role.HEAD.host
        )
        is None
    )


def test_an_expired_certificate_is_not_believed(tmp_path: Path) -> None:
    fleet(tmp_path, days=0)
    made = x509.load_pem_x509_certificate((tmp_path / "node" / "node.pem").read_bytes())
    assert made.not_valid_after_utc < dt.datetime.now(dt.UTC)
    assert handshake(tmp_path / "head", Role.HEAD, tmp_path / "node", Role.NODE, Role.HEAD.host) is None


def test_an_authority_is_made_once(tmp_path: Path) -> None:
    first, second = authority(tmp_path), authority(tmp_path)
    assert first.certificate == second.certificate


def test_half_an_authority_is_not_made_whole(tmp_path: Path) -> None:
    authority(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(ConfigError, match=r"ca\.key"):
        authority(tmp_path)


def test_a_damaged_one_is_told(tmp_path: Path) -> None:
    authority(tmp_path)
    (tmp_path / "ca.key").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be read"):
        authority(tmp_path)
