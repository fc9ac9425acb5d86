"""YAML as plain values, with the line of every key and every problem told by its place."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
from yaml.constructor import SafeConstructor

Place = tuple[str | int, ...]
"""The keys that lead to a place in a document."""
TAG = "tag:yaml.org,2002:"
WORDS = (f"{TAG}null", f"{TAG}bool")
NUMBERS = {
    f"{TAG}int": re.compile(r"[-+]?(0|[1-9][0-9]*)\Z"),
    f"{TAG}float": re.compile(r"[-+]?[0-9]*\.[0-9]+([eE][-+]?[0-9]+)?\Z"),
}
"""What an unquoted word can be besides text: a date stays text, and so do YAML's older numbers, by
which 22:22 is 1342 and 017 is 15."""
TYPES = {*WORDS, *NUMBERS}


class Problem(NamedTuple):
    """What is wrong, and where."""

    line: int
    place: Place
    text: str


@dataclass
class Reading:
    """What a YAML text says, where, and what is wrong with it as YAML."""

    data: Any = None
    lines: dict[Place, int] = field(default_factory=lambda: {(): 1})
    problems: list[Problem] = field(default_factory=list)
    empty: list[Place] = field(default_factory=list)
    """Where nothing is written behind the colon, which is None in the data, as ``null`` is."""

    def line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest one above it that has a line."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]


def read_yaml(text: str) -> Reading:
    """Read one YAML document; nothing in it raises, and a key said twice keeps its first value."""
    reading = Reading()
    try:
        node = yaml.compose(text, Loader=PlainLoader)
        reading.data = None if node is None else _value(node, (), reading)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reading.problems.append(Problem(line, (), _sentence(error)))
    except yaml.YAMLError as error:
        reading.problems.append(Problem(1, (), f"no YAML: {str(error).splitlines()[0]}"))
    except RecursionError:
        reading.problems.append(Problem(1, (), "nested too deeply"))
    return reading


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases and tags: the files it reads have other ways to say what repeats."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases (*name) are not used here", event.start_mark)
        if getattr(event, "tag", None):
            raise _refused(f"tags ({event.tag}) are not used here", event.start_mark)
        return super().compose_node(parent, index)


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, NUMBERS.get(tag, there)) for tag, there in resolvers if tag in TYPES]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    if error.problem and "'@'" in error.problem:
        return 'a name that begins with @ needs quotes: "@local"'
    return ", ".join(part for part in (error.context, error.problem) if part)


def _value(node: yaml.Node, place: Place, reading: Reading) -> Any:
    """Return the value of a node, and note the line of everything in it."""
    reading.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, reading)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, i), reading) for i, item in enumerate(node.value)]
    if not node.value and node.tag == f"{TAG}null":
        reading.empty.append(place)
    try:
        return SafeConstructor().construct_object(node)
    except ValueError:  # a number of thousands of digits
        return node.value


def _mapping(node: yaml.MappingNode, place: Place, reading: Reading) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            reading.problems.append(Problem(line, place, "a key is a word, no list or mapping"))
            continue
        key = str(key_node.value)
        at = (*place, key)
        if key in found:
            text = f"stands in line {reading.lines[at]} already"
            reading.problems.append(Problem(line, at, text))
            continue
        reading.lines[at] = line
        found[key] = _value(value_node, at, reading)
    return found
