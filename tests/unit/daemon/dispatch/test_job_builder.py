from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from cutoutd.config.settings import Settings
from cutoutd.daemon.dispatch.job_builder import Circumstances, make_job
from cutoutd.daemon.dispatch.photo_options import options_for
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.intake import Intake
from cutoutd.daemon.ledger.overrides import NO_OVERRIDES, Overrides
from cutoutd.daemon.ledger.records import Facts, PhotoRow, Settled
from cutoutd.daemon.plan import InboxPlan, make_plan

NOW = Circumstances(
    instance="abcd1234",
    attempt=7,
    allowance_mp=12.0,
    known={"d1": 3},
    lone=True,
    umask=0o027,
    outbox_inode=(1, 2),
)


def _row(ledger: Ledger, inbox: Path, path: bytes) -> PhotoRow:
    intake = Intake(ledger)
    _, photo = intake.observe(
        os.fsencode(inbox), path, Facts(9, 86400 * 10**9, 5, 0o644), settled=Settled.KNOWN
    )
    row = intake.get(photo or 0)
    assert row is not None
    return row


def _inbox(tmp_path: Path, **table: object) -> tuple[InboxPlan, Settings]:
    settings = Settings.model_validate(
        {"inbox": [{"path": tmp_path / "in", "outbox": tmp_path / "out", **table}]}
    )
    return make_plan(settings, tmp_path / "models", None).inboxes[0], settings


def test_each_deliverable_has_a_temporary_of_its_own_in_its_own_folder(
    ledger: Ledger, tmp_path: Path
) -> None:
    inbox, settings = _inbox(
        tmp_path, deliver=[{"label": "master"}, {"label": "web", "folder": "web/{date}"}]
    )
    row = _row(ledger, tmp_path / "in", b"day/a.jpg")
    job = make_job(row, inbox, options_for(inbox.settings, settings.limits, NO_OVERRIDES), NOW)
    assert job.path == os.fsencode(tmp_path / "in/day/a.jpg")
    assert len(set(job.temporaries)) == 2
    for temporary in job.temporaries:
        assert os.path.basename(temporary).startswith(b".cutoutd-abcd1234-1-7")
        assert temporary.startswith(os.fsencode(tmp_path / "out") + b"/")
    assert b"/web/" in job.temporaries[1]
    assert job.folder_mode == 0o750
    assert (job.known, job.lone, job.outbox_inode) == ({"d1": 3}, True, (1, 2))


def test_a_mask_is_read_from_the_folder_of_masks(ledger: Ledger, tmp_path: Path) -> None:
    inbox, settings = _inbox(tmp_path)
    row = _row(ledger, tmp_path / "in", b"a.jpg")
    options = options_for(inbox.settings, settings.limits, Overrides(mask="0f" * 16))
    assert make_job(row, inbox, options, replace(NOW, masks=tmp_path)).mask == os.fsencode(
        tmp_path / ("0f" * 16)
    )
    assert make_job(row, inbox, options_for(inbox.settings, settings.limits, NO_OVERRIDES), NOW).mask == b""


def test_an_original_that_was_archived_is_read_where_it_lies(ledger: Ledger, tmp_path: Path) -> None:
    inbox, settings = _inbox(tmp_path)
    row = replace(_row(ledger, tmp_path / "in", b"a.jpg"), archived_to=b"/archive/a (2).jpg")
    job = make_job(row, inbox, options_for(inbox.settings, settings.limits, NO_OVERRIDES), NOW)
    assert job.path == b"/archive/a (2).jpg"
    assert job.name == "a.jpg"


def test_a_temporary_lies_where_the_outbox_can_have_a_folder(ledger: Ledger, tmp_path: Path) -> None:
    """And where its cutout will lie: beside it, so that one rename publishes it."""
    inbox, settings = _inbox(tmp_path)
    row = _row(ledger, tmp_path / "in", b"8:30/a.jpg")
    options = options_for(inbox.settings, settings.limits, NO_OVERRIDES)
    (temporary,) = make_job(row, inbox, options, replace(NOW, plain=True)).temporaries
    assert os.path.dirname(temporary) == os.fsencode(tmp_path / "out/8_30")
