"""What each file manager's menu entry looks like as a file; pure text, it writes nothing."""

from __future__ import annotations

import plistlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from cutoutd.service.text import refuse_control_characters

# The name by which the program calls itself back from a menu: which look is wanted.
LOOKS = {"transparent": "Remove background", "white": "Remove background, on white"}
# Every entry that does something calls this.
_CALL = "desktop cut "
_MIME = "image/jpeg;image/png;image/webp;image/tiff;image/heif;image/avif;image/bmp;"

_ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">
<rect x="4" y="4" width="56" height="56" rx="12" fill="#2f6f6a"/>
<path d="M14 50a18 18 0 0 1 36 0z" fill="#fff"/>
<circle cx="32" cy="22" r="11" fill="#fff"/>
<path d="M8 56 56 8" stroke="#f2b134" stroke-width="4" stroke-dasharray="7 5"/>
</svg>
"""


class Entry(Struct, frozen=True):
    """One file to be written; `mode` are its permission bits."""

    path: Path
    text: str
    mode: int = 0o644

    def is_made_by_us(self, found: str) -> bool:
        """Whether what lies at the path is an entry of ours, of this version or another, and not somebody's own."""
        return found == self.text or _CALL in found


def linux(data: Path, config: Path, program: Sequence[str]) -> tuple[Entry, ...]:
    """Scripts for Nautilus, Nemo and Caja, a service menu for KDE, an application and its icon.

    Args:
        data: `$XDG_DATA_HOME`.
        config: `$XDG_CONFIG_HOME`.
        program: the absolute command that starts cutoutd.
    """
    scripts = (data / "nautilus/scripts", data / "nemo/scripts", config / "caja/scripts")
    found = [
        Entry(folder / title, _script(program, look), 0o755)
        for folder in scripts
        for look, title in LOOKS.items()
    ]
    found.append(Entry(data / "kio/servicemenus/cutoutd.desktop", _service_menu(program), 0o755))
    found.append(Entry(data / "applications/cutoutd.desktop", _application(program)))
    found.append(Entry(data / "icons/hicolor/scalable/apps/cutoutd.svg", _ICON))
    return tuple(found)


def macos(home: Path, program: Sequence[str]) -> tuple[Entry, ...]:
    """A Finder Quick Action for each look."""
    found: list[Entry] = []
    for look, title in LOOKS.items():
        contents = home / "Library/Services" / f"{title}.workflow" / "Contents"
        found += [
            Entry(contents / "Info.plist", _plist(_service(title))),
            Entry(contents / "document.wflow", _plist(_workflow(program, look))),
        ]
    return tuple(found)


def _script(program: Sequence[str], look: str) -> str:
    """File managers pass the selection as arguments, relative to the folder they start the script in."""
    command = _joined(program, look)
    return f'#!/bin/sh\n# written by `cutoutd desktop install`\nexec {command} -- "$@"\n'


def _joined(program: Sequence[str], look: str) -> str:
    """The command as a shell reads it."""
    words = [*program, "desktop", "cut", look]
    for word in words:
        refuse_control_characters(word)
    return shlex.join(words)


def _exec(program: Sequence[str], look: str) -> str:
    """A command line by the Desktop Entry Specification: double quotes, reserved characters escaped twice."""
    words = [*program, "desktop", "cut", look, "--"]
    quoted: list[str] = []
    for word in words:
        refuse_control_characters(word)
        if all(c.isalnum() or c in "/._-+=:,@" for c in word):
            quoted.append(word)
            continue
        # Once for the quoting of the command line, and each backslash once more for the value of a key.
        inner = "".join(f"\\\\{c}" if c in '"`$' else "\\\\\\\\" if c == "\\" else c for c in word)
        inner = inner.replace("%", "%%")
        quoted.append(f'"{inner}"')
    return f"{' '.join(quoted)} %F"


def _service_menu(program: Sequence[str]) -> str:
    lines = [
        "[Desktop Entry]",
        "Type=Service",
        "Name=Remove background",
        "X-KDE-ServiceTypes=KonqPopupMenu/Plugin",
        f"MimeType={_MIME}",
        f"Actions={';'.join(LOOKS)};",
        "Icon=cutoutd",
    ]
    for look, title in LOOKS.items():
        lines += [
            "",
            f"[Desktop Action {look}]",
            f"Name={title}",
            "Icon=cutoutd",
            f"Exec={_exec(program, look)}",
        ]
    return "\n".join(lines) + "\n"


def _application(program: Sequence[str]) -> str:
    return "\n".join(
        [
            "[Desktop Entry]",
            "Type=Application",
            "Version=1.0",
            "Name=Remove background",
            "GenericName=Background remover",
            "Comment=A clean cutout beside each photo; nothing leaves this machine",
            f"Exec={_exec(program, 'transparent')}",
            "Icon=cutoutd",
            "Terminal=false",
            "NoDisplay=true",
            f"MimeType={_MIME}",
            "Categories=Graphics;Photography;",
            "Actions=white;",
            "",
            "[Desktop Action white]",
            f"Name={LOOKS['white']}",
            f"Exec={_exec(program, 'white')}",
            "",
        ]
    )


def _plist(content: dict[str, Any]) -> str:
    return plistlib.dumps(content).decode()


def _service(title: str) -> dict[str, Any]:
    return {
        "NSServices": [
            {
                "NSMenuItem": {"default": title},
                "NSMessage": "runWorkflowAsService",
                "NSRequiredContext": {"NSApplicationIdentifier": "com.apple.finder"},
                "NSSendFileTypes": ["public.image"],
            }
        ]
    }


def _workflow(program: Sequence[str], look: str) -> dict[str, Any]:
    """One "Run Shell Script" action that gets the files as arguments."""
    return {
        "AMApplicationVersion": "2.10",
        "AMDocumentVersion": "2",
        "actions": [
            {
                "action": {
                    "ActionBundlePath": "/System/Library/Automator/Run Shell Script.action",
                    "ActionName": "Run Shell Script",
                    "ActionParameters": {
                        "COMMAND_STRING": f'{_joined(program, look)} -- "$@"',
                        "inputMethod": 1,
                        "shell": "/bin/sh",
                    },
                    "BundleIdentifier": "com.apple.RunShellScript",
                    "Class Name": "RunShellScriptAction",
                }
            }
        ],
        "workflowMetaData": {
            "serviceInputTypeIdentifier": "com.apple.Automator.fileSystemObject.image",
            "serviceApplicationBundleID": "com.apple.finder",
            "workflowTypeIdentifier": "com.apple.Automator.servicesMenu",
        },
    }
