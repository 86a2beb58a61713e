"""How many pictures a file holds: decoders give the first and say nothing of the others."""

from __future__ import annotations

import struct

#: More pages are not counted, and of a page's tags no more are looked at: a file made for it would take for ever.
_MOST_PAGES, _MOST_TAGS = 1000, 16
_NEW_SUBFILE_TYPE = 254
_REDUCED = 1  # a smaller copy of another page, for looking at


def count_pictures(content: bytes) -> int:
    """The pictures in an encoded file: pages of a TIFF (6.0, and BigTIFF), frames of an animated PNG or WebP.

    Reduced copies of a page are not counted. Anything else holds one, and so does a file that is damaged beyond its
    first picture.
    """
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return max(1, _tiff_pages(content))
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return max(1, _png_frames(content))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return max(1, content.count(b"ANMF"))
    return 1


def _tiff_pages(content: bytes) -> int:
    order = "<" if content[:2] == b"II" else ">"
    big = 43 in content[2:4]
    count_format, offset_format, entry_bytes = ("Q", "Q", 20) if big else ("H", "I", 12)
    count_bytes = struct.calcsize(count_format)
    pages = 0
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + offset_format, content, 8 if big else 4)
        while at and at not in seen and len(seen) < _MOST_PAGES:
            seen.add(at)
            (entries,) = struct.unpack_from(order + count_format, content, at)
            first = at + count_bytes
            after = first + entries * entry_bytes
            (following,) = struct.unpack_from(order + offset_format, content, after)
            if not _is_reduced(content, order, first, entries, entry_bytes):
                pages += 1
            at = following
    except (struct.error, IndexError, OverflowError):  # an offset beyond the end, or beyond any end
        return pages
    return pages


def _is_reduced(content: bytes, order: str, first: int, entries: int, entry_bytes: int) -> bool:
    """Whether a page says so in a tag, which stands among the first: they are sorted."""
    value_at = 8 if entry_bytes == 12 else 12
    for entry in range(first, first + min(entries, _MOST_TAGS) * entry_bytes, entry_bytes):
        (tag,) = struct.unpack_from(order + "H", content, entry)
        if tag == _NEW_SUBFILE_TYPE:
            (value,) = struct.unpack_from(order + "I", content, entry + value_at)
            return bool(value & _REDUCED)
    return False


def _png_frames(content: bytes) -> int:
    """The frames that an animation's control chunk tells of; it stands before the first picture."""
    at = 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind = content[at + 4 : at + 8]
        if kind == b"acTL" and at + 12 <= len(content):
            return int(struct.unpack_from(">I", content, at + 8)[0])
        if kind == b"IDAT":
            return 1
        at += 12 + length
    return 1
