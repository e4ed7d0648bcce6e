"""Where cutoutd keeps its own things on each platform; photos and their folders are not its business.

Every place can be moved by one environment variable, which tests and unusual installations use.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import platformdirs

from cutoutd.config.errors import ConfigError
from cutoutd.config.typed_paths import typed_path

APP = "cutoutd"
CONFIG_NAME = "config.toml"
SYSTEM_CONFIG = Path("/etc") / APP / CONFIG_NAME
SYSTEM_STATE = Path("/var/lib") / APP


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's own config file, whether or not it exists: `$CUTOUTD_CONFIG` or the platform's place."""
    explicit = _override(environ, "CUTOUTD_CONFIG")
    return explicit or _usual(partial(platformdirs.user_config_path, APP)) / CONFIG_NAME


def config_candidates(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Config files in the order in which they are looked for; the first that exists is used alone."""
    explicit = _override(environ, "CUTOUTD_CONFIG")
    if explicit is not None:
        return (explicit,)
    site = platformdirs.site_config_path(APP) / CONFIG_NAME
    return tuple(dict.fromkeys((config_path(environ), site, SYSTEM_CONFIG)))


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the ledger and the lock; not created here.

    `$CUTOUTD_STATE_DIR`, then the folder that systemd made for this very service, then the platform's place.
    Where the caller never ran a daemon but the system service runs in its name, it is that service's folder,
    so that `cutoutd status` answers for the daemon that is really there.
    """
    own = _override(environ, "CUTOUTD_STATE_DIR") or _from_systemd(environ, "STATE_DIRECTORY")
    if own is not None:
        return own
    personal = _usual(partial(platformdirs.user_state_path, APP))
    if not personal.exists() and _runs_for_me(SYSTEM_STATE):
        return SYSTEM_STATE
    return personal


def service_user() -> str:
    """Who runs the machine's service, where it has a state of its own of which ours says nothing; else nobody: ""."""
    import pwd

    if state_dir() == SYSTEM_STATE:
        return ""
    with contextlib.suppress(OSError, KeyError):  # there is none, or its user is gone
        return pwd.getpwuid(SYSTEM_STATE.stat().st_uid).pw_name
    return ""


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of things that can be made again (engine caches); not created here."""
    return (
        _override(environ, "CUTOUTD_CACHE_DIR")
        or _from_systemd(environ, "CACHE_DIRECTORY")
        or _usual(partial(platformdirs.user_cache_path, APP))
    )


def models_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of pulled and added models; not created here.

    The system service keeps them in its state folder, because its user has no home.
    """
    moved = _override(environ, "CUTOUTD_MODELS_DIR")
    if moved is not None:
        return moved
    state = _from_systemd(environ, "STATE_DIRECTORY")
    return (state or _usual(partial(platformdirs.user_data_path, APP))) / "models"


def pictures_dir() -> Path:
    """The user's Pictures folder, under which the default inbox and outbox lie; not created here."""
    return _usual(platformdirs.user_pictures_path)


def default_folders(pictures: Path) -> tuple[Path, Path]:
    """Inbox and outbox that exist without any config: `<Pictures>/Cutouts/Inbox` and `…/Outbox`."""
    return pictures / "Cutouts" / "Inbox", pictures / "Cutouts" / "Outbox"


def _usual(place: Callable[[], Path]) -> Path:
    """A place of the user's. Without a home folder it would be one called `~`, wherever we happen to stand.

    Raises:
        ConfigError: this user has no home folder.
    """
    with contextlib.suppress(RuntimeError):  # newer platformdirs raise, older ones answer with the `~`
        folder = place()
        if folder.is_absolute():
            return folder
    raise ConfigError(
        "This user has no home folder, so there is no usual place for what cutoutd keeps",
        fix="Set HOME, or name every place: CUTOUTD_CONFIG, CUTOUTD_STATE_DIR, CUTOUTD_CACHE_DIR, "
        "CUTOUTD_MODELS_DIR.",
    )


def _override(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name, "")
    return typed_path(value) if value else None


def _from_systemd(environ: Mapping[str, str], name: str) -> Path | None:
    """Our folder among systemd's colon-separated ones; a different service's variable must not move us."""
    for part in environ.get(name, "").split(":"):
        if part and Path(part).name == APP:
            return Path(part)
    return None


def _runs_for_me(folder: Path) -> bool:
    if not hasattr(os, "getuid"):
        return False
    try:
        owner = folder.stat().st_uid
    except OSError:
        return False
    return os.getuid() in {0, owner}
