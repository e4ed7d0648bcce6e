"""Settings for the folders of a test, and what the doctor makes of them."""

from __future__ import annotations

from pathlib import Path

from cutoutd.config.load import parse_settings
from cutoutd.config.settings import Settings
from cutoutd.service.doctor.findings import Finding


def settings(folder: Path, extra: str = "") -> Settings:
    return parse_settings(f'[[inbox]]\npath = "{folder}/in"\noutbox = "{folder}/out"\n{extra}')


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]
