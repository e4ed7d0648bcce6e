from __future__ import annotations

from typing import Annotated

from cutoutd.daemon.workers.codec import from_json
from cutoutd.daemon.workers.message_rules import Text, printed


def test_any_text_can_be_made_fit_to_travel() -> None:
    for text in ("\x1b[31m", "\udc80", "a\u202eb", "x" * 5000, "line\nline", "\u0085"):
        fit = printed(text, 600)
        assert from_json(Annotated[str, Text(600)], fit) == fit
    assert printed("a\nb", 10, lines=True) == "a\nb"
    assert printed("Grüße, 写真 (2).jpg", 100) == "Grüße, 写真 (2).jpg"
