"""Figures as small, self-contained, repeatable SVG."""

import hashlib
import io
import re
from typing import TYPE_CHECKING, Any
from xml.dom import minidom

from jaxnn.analysis.visualization._style import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_REFERENCE = re.compile(r"#([\w.:-]+)")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def to_svg(figure: "Figure", *, description: str = "") -> str:
    """Write a figure as one SVG element that can stand in a page among others.

    Equal figures give equal text: no date, no random names. Names inside are prefixed with a
    digest of the drawing, so that several figures on a page never refer to each other's
    clips and glyphs. Text stays text, which can be read aloud, searched and copied.

    Args:
      figure: what to write.
      description: what a reader who cannot see the figure should be told.

    Returns:
      ``<svg ...>...</svg>``, without XML declaration.

    Example:
      >>> svg = to_svg(learning_curves([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]))
      >>> svg.startswith("<svg"), svg == svg.replace("http://www.w3.org/2000/svg", "")
      (True, False)
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with style():
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    prefix = f"f{hashlib.sha256((text + description).encode()).hexdigest()[:10]}-"
    document = minidom.parseString(text)
    root = document.documentElement
    assert root is not None, "matplotlib wrote an empty document"
    elements = [root, *root.getElementsByTagName("*")]
    used = _references(elements)
    for element in elements:
        _tidy(element, used, prefix)
    _drop_blank_text(root)
    _ungroup(root)
    _hoist(root)
    root.setAttribute("style", f"font-family: {FONTS}")
    root.setAttribute("role", "img")
    if root.hasAttribute("xmlns:xlink"):
        root.removeAttribute("xmlns:xlink")
    if description:
        root.setAttribute("aria-label", description)
    return root.toxml()


def _references(elements: list[minidom.Element]) -> set[str]:
    """Collect the names that some attribute points to."""
    found: set[str] = set()
    for element in elements:
        for name, value in element.attributes.items():
            if name == "style" or name.endswith("href") or "url(" in value:
                found.update(_REFERENCE.findall(value))
    return found


def _tidy(element: minidom.Element, used: set[str], prefix: str) -> None:
    """Prefix or drop names, shorten numbers, and leave the font to the root element."""
    if element.hasAttribute("id"):
        name = element.getAttribute("id")
        if name in used:
            element.setAttribute("id", prefix + name)
        else:
            element.removeAttribute("id")
    for name, value in list(element.attributes.items()):
        if name.endswith("href"):
            if value.startswith("#"):
                value = f"#{prefix}{value[1:]}"
            element.removeAttribute(name)
            element.setAttribute("href", value)
        elif "url(#" in value:
            element.setAttribute(name, value.replace("url(#", f"url(#{prefix}"))
    for name in ("d", "x", "y", "width", "height", "transform", "points"):
        if element.hasAttribute(name) and element.tagName != "svg":
            value = element.getAttribute(name)
            short = _NUMBER.sub(_shorten, value)
            element.setAttribute(name, " ".join(short.split()) if name == "d" else short)
    if element.tagName == "text" and element.hasAttribute("style"):
        parts = [part.strip() for part in element.getAttribute("style").split(";")]
        kept = [_font(part) for part in parts if part and not part.startswith("font-family")]
        element.setAttribute("style", "; ".join(kept))


def _shorten(match: re.Match[str]) -> str:
    return f"{float(match.group()):.2f}".rstrip("0").rstrip(".")


def _font(part: str) -> str:
    """Turn the shorthand ``font: bold 9px 'Name', ...`` into size and weight alone."""
    if not part.startswith("font:"):
        return part
    words = part.removeprefix("font:").split(",")[0].split()
    size = next((word for word in words if word.endswith("px")), "8px")
    weight = "; font-weight: 700" if {"bold", "700", "600"} & set(words) else ""
    slant = "; font-style: italic" if "italic" in words else ""
    return f"font-size: {size}{weight}{slant}"


def _drop_blank_text(node: Any) -> None:
    """Remove the white space and comments that only indent the source."""
    for child in list(node.childNodes):
        if child.nodeType == minidom.Node.COMMENT_NODE:
            node.removeChild(child)
        elif child.nodeType == minidom.Node.TEXT_NODE:
            if getattr(node, "tagName", "") not in ("text", "tspan", "style") and not (
                child.data.strip()
            ):
                node.removeChild(child)
        else:
            _drop_blank_text(child)


def _hoist(node: Any) -> None:
    """Write the style and clip that all members of a group share once, on the group."""
    members = [c for c in node.childNodes if isinstance(c, minidom.Element)]
    for child in members:
        _hoist(child)
    if not isinstance(node, minidom.Element) or node.tagName != "g" or len(members) < 2:
        return
    for name in ("style", "clip-path"):
        values = {member.getAttribute(name) for member in members}
        value = next(iter(values))
        # The opacity of a group is not that of its members, where they overlap.
        opaque = not re.search(r"(^|[; ])opacity:", value)
        # A clip is measured in the coordinates of what it is written on.
        placed = any(m.tagName == "use" or m.hasAttribute("transform") for m in members)
        free = name == "style" or not placed
        if len(values) == 1 and value and opaque and free and not node.hasAttribute(name):
            node.setAttribute(name, value)
            for member in members:
                member.removeAttribute(name)


def _ungroup(node: Any) -> None:
    """Replace groups that say nothing by what they hold."""
    for child in list(node.childNodes):
        _ungroup(child)
        if child.nodeName == "g" and not child.attributes:
            for inner in list(child.childNodes):
                node.insertBefore(inner, child)
            node.removeChild(child)
