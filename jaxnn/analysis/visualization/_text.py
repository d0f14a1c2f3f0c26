"""Attributions of tokens: text on a ground that is coloured token by token.

Lines are broken where words begin, which tokens with spaces of their own tell; where none has
any, tokens are words and stand apart. What would be invisible is shown by a mark: a line break
is ↵, a tab ⇥, a token of nothing but spaces ␣, and one of nothing at all ∅.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxnn._check import require, require_positive
from jaxnn.analysis.visualization._attribution import color_key, color_scale, shades
from jaxnn.analysis.visualization._style import (
    MUTED,
    ON_COLOR,
    Values,
    bare,
    canvas,
    inches,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BREAK, TAB, SPACE, NOTHING = "↵", "⇥", "␣", "∅"
SIZE, SMALL = 9.0, 7.5  # of the letters of text and labels, in points
LINE = 0.23  # from line to line, in inches, as all lengths here
HIGH = 0.19  # of the ground of a token
PAD = 0.025  # of the ground beside the letters
SEAM = 0.008  # between grounds
APART = 0.14  # between examples


class _Piece(NamedTuple):
    """What of a token stands in one line."""

    token: int
    text: str
    first: bool  # may begin a line


@styled
def attribution_text(
    tokens: Sequence[str] | Sequence[Sequence[str]],
    attributions: Values | Sequence[Values],
    *,
    labels: Sequence[str] | None = None,
    outlier_percentile: float = 2.0,
    width: float = 5.2,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw texts token by token on the colours of their attributions, a paragraph an example.

    All examples share one scale of colours, red for and blue against, and lines are broken at
    the width. Line breaks, tabs, and tokens of spaces or of nothing are shown by marks.

    Args:
      tokens: of one example, or of each example.
      attributions: (tokens,), or such an array for each example.
      labels: a line above each example, such as what was predicted and what is true.
      outlier_percentile: see :func:`color_scale`.
      width: of the text in inches; axes that are given keep theirs.
      axes: where to draw, from the top; no smaller than the text needs.

    Returns:
      The figure; one rectangle for each token, or for each of its lines, labelled
      ``example token`` by their numbers, and its text.

    Raises:
      ValueError: there are no tokens, or their number is not that of the attributions or
        labels, attributions are not finite, or the width is not above zero.
    """
    from matplotlib.patches import Rectangle

    where = "attribution_text"
    require_positive(where, width=width)
    texts, values = _examples(where, tokens, attributions)
    heads = [labels] if isinstance(labels, str) else None if labels is None else list(labels)
    ok = heads is None or len(heads) == len(texts)
    require(ok, where, "labels", labels, f"{len(texts)} labels, one an example")
    colors = shades(
        "all", color_scale(np.concatenate(values), outlier_percentile=outlier_percentile)
    )

    room = inches(axes)[0] if axes is not None else width
    above = [_wrapped(head, room) for head in heads] if heads else [[] for _ in texts]
    paragraphs = [_lines(_pieces(text), room, _gap(text)) for text in texts]
    count = sum(len(lines) for lines in (*above, *paragraphs))
    tall = count * LINE + (len(texts) - 1) * APART
    figure, axes = canvas(axes, room + 0.2, tall + 0.45, left=0.1, right=0.1, top=0.35, bottom=0.1)
    room, high = inches(axes)
    y = 0.0
    for example, (head, lines) in enumerate(zip(above, paragraphs, strict=True)):
        ground = colors.of(values[example])
        gap = _gap(texts[example])
        for words in head:
            axes.text(0, y + LINE / 2, words, va="center_baseline", fontsize=SMALL, color=MUTED)
            y += LINE
        for line in lines:
            x = 0.0
            for piece in line:
                long = _long(piece.text)
                color = ground[piece.token]
                axes.add_patch(
                    Rectangle(
                        (x, y + (LINE - HIGH) / 2),
                        long - SEAM,
                        HIGH,
                        facecolor=color,
                        linewidth=0,
                        label=f"{example} {piece.token}",
                    )
                )
                _write(axes, piece.text, x, y + 0.7 * LINE, _ink(color))
                x += long + gap
            y += LINE
        y += APART
    axes.set_xlim(0, room)
    axes.set_ylim(high, 0)
    bare(axes)
    color_key(axes, colors)
    return figure


def _examples(
    where: str, tokens: Sequence[str] | Sequence[Sequence[str]], attributions: Values
) -> tuple[list[list[str]], list[np.ndarray]]:
    """Check the examples, and make a single one the first of a list."""
    rows = list(tokens)
    require(bool(rows), where, "tokens", tokens, "at least one token")
    single = all(isinstance(row, str) for row in rows)
    texts = [[str(token) for token in row] for row in ([rows] if single else rows)]
    if single:
        arrays: list[Values] = [attributions]
    elif isinstance(attributions, Sequence):
        arrays = list(attributions)
    else:
        arrays = list(np.atleast_1d(np.asarray(attributions)))
    needs = f"{len(texts)} arrays, one an example"
    require(len(arrays) == len(texts), where, "attributions", attributions, needs)
    values = []
    for place, (text, array) in enumerate(zip(texts, arrays, strict=True)):
        name = "attributions" if single else f"attributions[{place}]"
        require(bool(text), where, f"tokens[{place}]", text, "at least one token")
        value = np.asarray(array, np.float64)
        ok = value.shape == (len(text),)
        require(ok, where, name, array, f"shape ({len(text)},), as there are {len(text)} tokens")
        require(bool(np.isfinite(value).all()), where, name, array, "finite numbers")
        values.append(value)
    return texts, values


def _gap(text: list[str]) -> float:
    """Give the room between tokens: none where some have spaces of their own."""
    own = any(token.strip(" ") and token != token.strip(" ") for token in text)
    return 0.0 if own else 0.06


def _pieces(text: list[str]) -> list[_Piece]:
    """Cut tokens after line breaks, show what is invisible, and tell where words begin."""
    spaced = not _gap(text)
    pieces: list[_Piece] = []
    for number, token in enumerate(text):
        shown = re.sub(r"\r\n|\r|\n", BREAK, token).replace("\t", TAB)
        parts = re.findall(rf"[^{BREAK}]*{BREAK}|[^{BREAK}]+", shown) or [NOTHING]
        for part in parts:
            words = part if part.strip(" ") else SPACE * len(part)
            before = pieces[-1].text[-1] if pieces else " "
            first = not spaced or before in " ␣↵⇥" or words[0] in " ␣⇥"
            pieces.append(_Piece(number, words, first))
    return pieces


def _lines(pieces: list[_Piece], room: float, gap: float) -> list[list[_Piece]]:
    """Break a paragraph: at ``↵``, else before words, else within what is wider than a line."""
    words: list[list[_Piece]] = []
    for piece in pieces:
        if piece.first or not words:
            words.append([])
        words[-1].append(piece)
    lines: list[list[_Piece]] = [[]]
    x = 0.0
    for word in words:
        whole = sum(_long(piece.text) for piece in word) <= room
        chunks = [word] if whole else [[part] for piece in word for part in _cut(piece, room)]
        for chunk in chunks:
            long = sum(_long(piece.text) for piece in chunk)
            if lines[-1] and x + long > room:
                lines.append([])
                x = 0.0
            lines[-1] += chunk
            x += long + gap
            if chunk[-1].text.endswith(BREAK):
                lines.append([])
                x = 0.0
    return [line for line in lines if line]


def _cut(piece: _Piece, room: float) -> list[_Piece]:
    """Cut a piece into as many as fit; a letter at least in each."""
    parts = [""]
    for letter in piece.text:
        if parts[-1] and _long(parts[-1] + letter) > room:
            parts.append("")
        parts[-1] += letter
    return [piece._replace(text=part) for part in parts]


def _wrapped(label: str, room: float) -> list[str]:
    """Break a label between words."""
    lines: list[str] = []
    for word in label.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _letters(longer, SMALL) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


def _write(axes: "Axes", text: str, x: float, y: float, ink: str) -> None:
    """Write in the middle of the ground, so that letters of other fonts stay on it."""
    words = text.strip(" ")
    ahead = _letters(text[: len(text) - len(text.lstrip(" "))])
    middle = x + PAD + ahead + _letters(words) / 2
    axes.text(middle, y, words, ha="center", va="baseline", fontsize=SIZE, color=ink)


def _long(text: str) -> float:
    return _letters(text) + 2 * PAD


def _letters(text: str, size: float = SIZE) -> float:
    """Measure text in inches."""
    return sum(_advance(letter) for letter in text) * size / 72


@functools.cache
def _advance(letter: str) -> float:
    """Measure a letter in units of the size; one that the font lacks by what others give it."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    code = ord(letter)
    if font.get_char_index(code):
        font.set_size(100, 72)
        return font.load_char(code).linearHoriAdvance / 65536 / 100
    if unicodedata.combining(letter):
        return 0.0
    return 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.7


def _ink(color: np.ndarray) -> str:
    """Choose the ink of more contrast, by relative luminance."""
    linear = np.where(color[:3] <= 0.04045, color[:3] / 12.92, ((color[:3] + 0.055) / 1.055) ** 2.4)
    light = float(linear @ np.array([0.2126, 0.7152, 0.0722]))
    return "white" if light < 0.18 else ON_COLOR
