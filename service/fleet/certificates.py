"""A certificate authority of the fleet's own, and what it signs: the head and each node; it opens no connection.

Needs the package cryptography. The authority's key never leaves the head, and signs nothing but what `init` asks for.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from cutoutd.config.errors import ConfigError, printable
from cutoutd.daemon.fleet.roles import Role

# An authority outlives the machines; a certificate is renewed by `fleet init` again, of which `fleet status` reminds.
AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 825
# Clocks of machines in one room differ by less.
_EARLIER: Final = dt.timedelta(hours=1)


class Pair(Struct, frozen=True):
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def authority(folder: Path, *, days: int = AUTHORITY_DAYS) -> Pair:
    """The fleet's authority in this folder: the one that is there, or a new one.

    Raises:
        ConfigError: what is there cannot be read, or only half of it is there.
    """
    certificate, key = folder / "ca.pem", folder / "ca.key"
    if certificate.exists() != key.exists():
        missing = key if certificate.exists() else certificate
        fix = "Put it back from a copy, or make a new fleet in another folder with --dir."
        raise ConfigError("half of the fleet's authority is missing", missing, fix)
    if certificate.exists():
        return _read(certificate, key)
    made = _authority(days)
    _write(folder / "ca.key", _key_bytes(made.key), 0o600)
    _write(folder / "ca.pem", _certificate_bytes(made.certificate), 0o644)
    return made


def issue(
    folder: Path, by: Pair, role: Role, name: str, *, hosts: tuple[str, ...] = (), days: int = LEAF_DAYS
) -> None:
    """Writes `ca.pem`, `<role>.pem` and `<role>.key` (0600) for one machine into a folder of its own.

    Args:
        folder: made if need be.
        by: the authority.
        role: head or node; it stands in the certificate, and what it allows is decided by that.
        name: of the machine, for people.
        hosts: names and addresses by which others reach it.
        days: how long it is valid; 0 or less makes one that has expired.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = _leaf(by, role, name, hosts, days)
    _write(folder / "ca.pem", _certificate_bytes(by.certificate), 0o644)
    _write(folder / f"{role}.pem", _certificate_bytes(made.certificate), 0o644)
    _write(folder / f"{role}.key", _key_bytes(made.key), 0o600)


def _authority(days: int) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cutoutd fleet")])
    builder = _dated(days).subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = builder.add_extension(usage, critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def _leaf(by: Pair, role: Role, name: str, hosts: tuple[str, ...], days: int) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role.value),
        ]
    )
    builder = _dated(days).subject_name(subject).issuer_name(by.certificate.subject)
    builder = builder.public_key(key.public_key())
    names: list[x509.GeneralName] = [x509.DNSName(role.host), *(_host(one) for one in hosts)]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    builder = builder.add_extension(of_authority, critical=False)
    return Pair(builder.sign(by.key, hashes.SHA256()), key)


def _dated(days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    end = now + dt.timedelta(days=days) if days > 0 else now - dt.timedelta(minutes=1)
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _EARLIER).not_valid_after(end)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _read(certificate: Path, key: Path) -> Pair:
    try:
        found = serialization.load_pem_private_key(key.read_bytes(), password=None)
        signed = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"the fleet's authority cannot be read ({error})", certificate) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{printable(key)} is not a key that cutoutd made", key)
    return Pair(signed, found)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_bytes(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replaced in one step; a key was never readable to others, not for a moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(mode)
    part.replace(path)
