"""A host written into an inventory file: every line that is there stays as it is.

A YAML parser says where the new lines belong. Libraries that write the whole file again respace
it, and take the comment above the next section for the end of this one.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory import plain_yaml
from fleetwheel.inventory.plain_yaml import PlainLoader

HEADER = "# The fleet. docs/inventory.example.yaml explains every key.\n"
"""What a new file begins with."""
PLAIN = re.compile(r"[A-Za-z0-9_./~][A-Za-z0-9_./~@-]*")
"""Words that need no quotes, unless YAML takes them for something else than text."""

Entry = Mapping[str, str | int]
"""What a host says of itself, such as ``{"address": "192.0.2.12"}``."""


def insert(text: str, group: str | None, name: str, entry: Entry) -> str:
    """Return an inventory file with one host more, last in its group, or of no group.

    The group is made where there is none of that name. ``text`` is one that the inventory's check
    has passed; FleetwheelError where it is written in a way that leaves no place for a host.
    """
    keys = ("groups", group, "hosts", name) if group else ("hosts", name)
    root = yaml.compose(text, Loader=PlainLoader)
    if root is None or _empty(root):
        edited = _joined(text, len(text), _block(keys, entry, column=0, step=2))
    else:
        edited = _inserted(text, root, keys, entry)
    if plain_yaml.read_yaml(edited).data != _with(plain_yaml.read_yaml(text).data, keys, entry):
        raise FleetwheelError(
            f"{name}: there is no place for one host more in {'.'.join(keys[:-1])}",
            hint="write the host into the file by hand",
        )
    return edited


def _with(data: Any, keys: Sequence[str], entry: Entry) -> dict[str, Any]:
    """Return what a file with this host says, by what it says without."""
    data = data or {}
    below = _with(data.get(keys[0]), keys[1:], entry) if keys[1:] else dict(entry) or None
    return {**data, keys[0]: below}


def _inserted(text: str, root: yaml.Node, keys: Sequence[str], entry: Entry) -> str:
    """Follow the keys as far as they are there, and insert the rest."""
    step, parent = _step(root), root
    for depth, key in enumerate(keys):
        if not isinstance(parent, yaml.MappingNode):
            break
        below = next((pair for pair in parent.value if pair[0].value == key), None)
        column = parent.start_mark.column
        if parent.flow_style and below is None:
            return _into_braces(text, parent, _flow(keys[depth:], entry))
        if below is None:
            lines = _block(keys[depth:], entry, column, step)
            if depth == 0:
                return _joined(text, len(text), f"\n{lines}")
            return _joined(
                text, _past_comments(text, _line_end(text, _last(parent)), column), lines
            )
        if _empty(below[1]) and not parent.flow_style:
            lines = _block(keys[depth + 1 :], entry, column + step, step)
            return _below(text, below, lines, column + step)
        parent = below[1]
    return text


def _empty(node: yaml.Node) -> bool:
    """Return whether a node is nothing, ``null`` or ``{}``."""
    if isinstance(node, yaml.MappingNode):
        return not node.value
    return node.tag == "tag:yaml.org,2002:null"


def _step(root: yaml.Node) -> int:
    """Return how much deeper the file writes what is below a key."""
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    for key, value in pairs:
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            return int(value.start_mark.column - key.start_mark.column)
    return 2


def _last(node: yaml.Node) -> yaml.Node:
    """Return the node that ends a block; the block's own end is behind comments of the next."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last(last[1] if isinstance(last, tuple) else last)
    return node


def _line_end(text: str, node: yaml.Node) -> int:
    """Return the position behind the line on which a node ends."""
    written = len(text[: node.end_mark.index].rstrip())
    return text.find("\n", written) + 1 or len(text)


def _past_comments(text: str, at: int, column: int) -> int:
    """Return the position behind comments that stand as deep as the entries before them."""
    comment = re.compile(rf" {{{column},}}#.*\n?")
    while match := comment.match(text, at):
        at = match.end()
    return at


def _below(text: str, pair: tuple[yaml.Node, yaml.Node], lines: str, column: int) -> str:
    """Return the text with lines below a key that has nothing yet."""
    start, end = pair[1].start_mark.index, pair[1].end_mark.index
    line_end = _line_end(text, pair[1])
    if end > start:
        text = text[:start].rstrip(" ") + text[end:]
        line_end = text.find("\n", pair[0].end_mark.index) + 1 or len(text)
    return _joined(text, _past_comments(text, line_end, column), lines)


def _into_braces(text: str, node: yaml.MappingNode, item: str) -> str:
    """Return the text with an item more between the braces of a mapping."""
    brace = node.end_mark.index - 1
    written = text[:brace].rstrip()
    comma = ", " if node.value and not written.endswith(",") else ""
    return f"{written}{comma}{item}{text[len(written) :]}"


def _joined(text: str, at: int, lines: str) -> str:
    """Put lines into a text, with the line ends that it has."""
    end = "\r\n" if "\r\n" in text else "\n"
    before = text[:at] + ("" if at == 0 or text[at - 1] == "\n" else end)
    return before + lines.replace("\n", end) + text[at:]


def _block(keys: Sequence[str], entry: Entry, column: int, step: int) -> str:
    """Return nested keys, one a line; the last is the host."""
    lines = [f"{' ' * (column + step * i)}{_word(key)}:" for i, key in enumerate(keys)]
    said = f" {_braces(entry)}" if entry else ""
    return "\n".join(lines) + f"{said}\n"


def _flow(keys: Sequence[str], entry: Entry) -> str:
    """Return nested keys between braces; the last is the host."""
    inner = _braces(entry) if entry else ""
    for key in reversed(keys[1:]):
        inner = f"{{{_word(key)}: {inner}}}"
    return f"{_word(keys[0])}: {inner}"


def _braces(entry: Entry) -> str:
    return "{" + ", ".join(f"{key}: {_word(value)}" for key, value in entry.items()) + "}"


def _word(value: str | int) -> str:
    """Return a value as YAML reads it back."""
    if isinstance(value, int):
        return str(value)
    plain = PLAIN.fullmatch(value) and plain_yaml.read_yaml(value).data == value
    return value if plain else json.dumps(value, ensure_ascii=False)
