"""The README's picture of the demo."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import picture


def test_the_picture_is_what_the_demo_prints() -> None:
    """Word for word, but for what differs each time: `python tools/picture.py` draws it anew."""
    shown, printed = _words(picture.PICTURE.read_text("utf-8")), _words(picture.drawn())
    assert "Forbidden masks.api-keys" in shown and shown == printed


def _words(svg: str) -> str:
    """Give the text, without the end of an approval's id, how long it took, and frames."""
    told = " ".join("".join(ET.fromstring(svg).itertext()).split())
    told = re.sub(r"approval=…\w+", "approval=…", told)
    return re.sub(r"\b\d+ s ?(?=[─╯])|[─╭╮╰╯│ ]+", " ", told)
