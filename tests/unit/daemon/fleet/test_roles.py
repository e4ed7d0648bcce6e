from __future__ import annotations

from typing import Any

import pytest

from cutoutd.daemon.fleet.roles import Role, name_of, role_of


def peer(*names: str) -> dict[str, Any]:
    return {"subjectAltName": tuple(("DNS", name) for name in names)}


@pytest.mark.parametrize("role", list(Role))
def test_a_certificate_tells_its_role(role: Role) -> None:
    assert role_of(peer("anna", role.host)) is role


@pytest.mark.parametrize("told", [None, {}, peer(), peer("head"), peer(Role.HEAD.host, Role.NODE.host)])
def test_no_role_or_two_are_none(told: Any) -> None:
    assert role_of(told) is None


def test_an_address_of_that_name_is_none() -> None:
    assert role_of({"subjectAltName": (("URI", Role.HEAD.host),)}) is None


def test_a_certificate_tells_the_machines_name() -> None:
    told = {"subject": ((("commonName", "anna"),), (("organizationalUnitName", "node"),))}
    assert name_of(told) == "anna"


@pytest.mark.parametrize(
    "told", [None, {}, {"subject": ()}, {"subject": ((("commonName", "anna"), ("commonName", "ben")),)}]
)
def test_no_name_or_two_are_none(told: Any) -> None:
    assert name_of(told) == ""
