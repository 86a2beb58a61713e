"""Pictures of what one side found and the other did not: one page, complete in itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..detection.detections import Detections
from ..detection.draw import draw_boxes, jpeg_uri
from .parity import PaddleReference
from .proof import Proof, Unmatched

#: Pictures of one graph on one runtime, those with most unmatched detections first.
MOST_PICTURES = 12
#: A picture is enlarged in whole steps until its longer side has so many pixels.
_SHOWN_SIDE = 320

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
figure { display: inline-block; margin: 0 1rem 1.5rem 0; vertical-align: top }
figcaption { max-width: 24rem }
img { max-width: 100%; image-rendering: pixelated }
"""


def unmatched_page(title: str, proofs: Sequence[tuple[Proof, PaddleReference]], labels: Sequence[str]) -> str | None:
    """The page as HTML; None if every detection has its partner.

    Args:
        title: of the page.
        proofs: with what each was held against.
        labels: class names.
    """
    sections = [_section(proof, paddle, labels) for proof, paddle in proofs if proof.unmatched]
    if not sections:
        return None
    listed = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        "<p>Drawn are only the detections that have no partner on the other side (same class, IoU at least 0.95, "
        "scores within 0.01) and no excuse; those that agree are left out.</p>\n"
        f"{listed}\n</body></html>\n"
    )


def _section(proof: Proof, paddle: PaddleReference, labels: Sequence[str]) -> str:
    shown = proof.unmatched[:MOST_PICTURES]
    pictures = f"{len(proof.unmatched)} pictures"
    if len(shown) < len(proof.unmatched):
        pictures = f"{pictures}, the {len(shown)} with most of them shown"
    figures = "\n".join(_figures(one, paddle, labels) for one in shown)
    share = f"{proof.agreement.matched_share:.1%} of the detections matched"
    return f"<h2>{escape(proof.title)}</h2>\n<p>{share}; {pictures}.</p>\n{figures}"


def _figures(one: Unmatched, paddle: PaddleReference, labels: Sequence[str]) -> str:
    image = paddle.store.image(one.row)
    scale = max(1, _SHOWN_SIDE // max(image.shape[:2]))

    def figure(who: str, found: Detections) -> str:
        drawn = draw_boxes(image, found.boxes, found.labels, labels, found.scores, scale=scale)
        words = f"{found.source}: only {who} ({len(found)})"
        size = f'width="{drawn.shape[1]}" height="{drawn.shape[0]}"'
        return (
            f'<figure><img src="{jpeg_uri(drawn)}" alt="{escape(words)}" {size}>'
            f"<figcaption>{escape(words)}</figcaption></figure>"
        )

    return f"<div>{figure('Paddle', one.missing)}{figure('the graph', one.strange)}</div>"
