#!/usr/bin/python3 -I
"""Starts cutoutd in a container as the user whose photos they are; it knows nothing of photos.

PUID and PGID say who that is (1000 when unset), UMASK what others may do with cutouts (022), TZ which time the log
shows. A container that was started as somebody else than root stays that one. Every command goes through here, so
that `podman exec … cutoutd status` leaves no file of root's in the state folder.
"""

import os
import sys

PROGRAM = "/opt/cutoutd/bin/cutoutd"
STATE = os.environ.get("CUTOUTD_STATE_DIR", "/state")


def number(name: str, usual: str, base: int = 10) -> int:
    """The number in a variable, or the end with a sentence."""
    text = os.environ.get(name) or usual
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if not 0 <= value < (0o1000 if base == 8 else 2**32 - 1):
        example = "022" if base == 8 else "1000"
        sys.exit(f"cutoutd: {name}={text!r} is not a number such as {example}. Correct it and start again.")
    return value


def become(uid: int, gid: int) -> None:
    """Give the state folder to its user and turn into that user, for good."""
    try:
        os.makedirs(STATE, exist_ok=True)
        if os.stat(STATE).st_uid != uid or os.stat(STATE).st_gid != gid:
            os.chown(STATE, uid, gid)
        for folder, _, files in os.walk(STATE):
            # Another PUID than last time: what is in there is ours alone, no photo ever is.
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                if os.lstat(path).st_uid != uid:
                    os.chown(path, uid, gid, follow_symlinks=False)
    except OSError as error:
        # A read-only or foreign volume: cutoutd itself says what it cannot write.
        sys.stderr.write(f"cutoutd: {STATE} cannot be given to user {uid} ({error.strerror}).\n")
    try:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        sys.exit(
            f"cutoutd: this container may not become user {uid} ({error.strerror}). Add the capabilities SETUID and "
            "SETGID, or start it as that user (--user) and leave PUID and PGID out."
        )


def main() -> None:
    """Become the user and go on as cutoutd; the process stays the same, so signals reach it."""
    umask = number("UMASK", "022", 8)
    if os.geteuid() == 0:
        become(number("PUID", "1000"), number("PGID", "1000"))
    os.umask(umask)
    os.execv(PROGRAM, ["cutoutd", *sys.argv[1:]])  # noqa: S606 - a list, no shell


if __name__ == "__main__":
    main()
