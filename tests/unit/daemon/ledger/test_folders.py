"""What folders were mounted from survives the daemon."""

from __future__ import annotations

from pathlib import Path

from cutoutd.daemon.files.mounts import MountIdentity
from cutoutd.daemon.ledger.database import Ledger
from cutoutd.daemon.ledger.folders import Folders

NAS = MountIdentity("nas:/photos", "nfs4", "/mnt/nas", "/in", is_own_mount=False)


def test_a_folder_is_known_as_it_was_recorded_last(ledger: Ledger) -> None:
    folders, odd = Folders(ledger), Path("/mnt/nas/\udcff")
    assert folders.recorded(odd) is None
    folders.record(odd, MountIdentity("", "ext4", "/", "/in", is_own_mount=False))
    folders.record(odd, NAS)
    assert folders.recorded(odd) == NAS
    assert folders.all() == {b"/mnt/nas/\xff": NAS}
