"""The tables of what is remembered of photos and who is told of them; what is done with them is decided elsewhere."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool

from cutoutd.config.section import Section
from cutoutd.config.units import Folder, Seconds


class History(Section):
    """What the ledger remembers about finished photos."""

    keep: Seconds = Field(
        default=30 * 86400,
        ge=0,
        description="Names, reasons and times of finished photos are kept this long.",
    )
    filenames: StrictBool = Field(
        default=True, description="Off: finished rows keep only a keyed digest of the name."
    )


class Log(Section):
    """What is written to the log."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is written."
    )
    filenames: StrictBool = Field(
        default=True, description="Off: photos appear in the log by number, not by name."
    )


class Notify(Section):
    """Desktop notifications through the platform's own notifier."""

    done: StrictBool = Field(default=False, description="Tell when photos are done.")
    failed: StrictBool = Field(default=False, description="Tell when a photo failed.")
    at_most_every: Seconds = Field(default=30, ge=1, description="Shortest time between two notifications.")


class Metrics(Section):
    """Figures for a monitoring system."""

    textfile: Folder | None = Field(
        default=None,
        description="Prometheus text file, replaced atomically.",
        examples=["/var/lib/prometheus/node-exporter/cutoutd.prom"],
    )
    every: Seconds = Field(
        default=15,
        ge=1,
        description="Shortest time between two writes; nothing is written while nothing changes.",
    )
