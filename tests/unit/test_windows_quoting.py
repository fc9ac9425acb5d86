"""Quoting for Windows, undone by parsers written from the documented rules."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleetwheel.connection.quoting import for_cmd, for_powershell, set_for_cmd
from fleetwheel.errors import FleetwheelError

SPECIAL = r"""\"'%^&|<>()!=,;@ *?`$~"""
any_text = st.text(st.sampled_from(SPECIAL) | st.characters(exclude_characters="\0"), max_size=12)
one_line = st.text(
    st.sampled_from(SPECIAL) | st.characters(exclude_characters="\0\n\r\x1a"), max_size=12
)


def split(line: str) -> list[str]:
    """Split a command line as CommandLineToArgvW does, all but the program's name."""
    arguments: list[str] = []
    current: str | None = None
    quoted = False
    for backslashes, other in re.findall(r'(\\*)("|[^"\\]|$)', line, re.DOTALL):
        if other == '"':
            current = (current or "") + "\\" * (len(backslashes) // 2)
            if len(backslashes) % 2:
                current += '"'
            else:
                quoted = not quoted
            continue
        if backslashes:
            current = (current or "") + backslashes
        if other in (" ", "\t", "") and not quoted:
            if current is not None:
                arguments.append(current)
            current = None
        else:
            current = (current or "") + other
    return arguments[1:]


def read_by_cmd(line: str) -> str:
    """Return what one line of a batch file is after cmd has read it; nothing in it may act."""
    assert "%" not in line.replace("%%", ""), "a variable is expanded"
    text, out, quoted = iter(line.replace("%%", "%")), "", False
    for character in text:
        if character == "^" and not quoted:
            out += next(text)
            continue
        quoted ^= character == '"'
        assert quoted or character not in "&|<>()\n\r", "cmd acts on it"
        out += character
    return out


@given(st.lists(one_line))
@example(
    ["a b\\", "%PATH%", "%a:b=c%", '"&x&"', "a\\", 'a\\"b', "^", "", "100%", "%%", "a^b c", "(x)"]
)
def test_a_program_gets_what_passes_through_cmd(arguments: list[str]) -> None:
    line = " ".join(["program", *map(for_cmd, arguments)])
    assert split(read_by_cmd(line)) == arguments


@given(one_line.filter(lambda text: '"' not in text))
def test_commands_of_cmd_get_names_in_one_pair_of_quotes(name: str) -> None:
    """They look for the quotes themselves, so no caret may stand before one."""
    read = read_by_cmd(for_cmd(name))
    assert read == for_cmd(name).replace("%%", "%")
    assert read.strip('"').rstrip("\\") == name.rstrip("\\")


@given(one_line)
@example(" a ")
@example('"a"&b')
def test_a_variable_gets_its_value(value: str) -> None:
    assert read_by_cmd(set_for_cmd("NAME", value)) == f"set NAME={value}"


@given(any_text | st.text("'\u2018\u2019\u201a\u201b\"$`a"))
def test_a_powershell_literal_is_read_back(text: str) -> None:
    """Its tokenizer takes two quotes of any kind for one, and keeps the second."""
    literal = for_powershell(text)
    assert literal[0] == literal[-1] == "'"
    kinds = "['\u2018\u2019\u201a\u201b]"
    assert not re.sub(kinds * 2, "", literal[1:-1]).count("'")
    assert re.sub(f"{kinds}({kinds})", r"\1", literal[1:-1]) == text


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        (for_powershell, "secret\0"),
        (for_cmd, "secret\0"),
        (for_cmd, "secret\n"),
        (for_cmd, "secret\r"),
        (for_cmd, "secret\x1a"),
        (lambda text: set_for_cmd("NAME", text), "secret\n"),
        (lambda text: set_for_cmd(text, "value"), "A=B"),
        (lambda text: set_for_cmd(text, "value"), "A B"),
        (lambda text: set_for_cmd(text, "value"), ""),
    ],
)
def test_what_cannot_arrive_is_refused(quote: Callable[[str], str], text: str) -> None:
    with pytest.raises(FleetwheelError) as refused:
        quote(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["C:\\a\\b.exe", "/S", "--flag", "a+b", "1.2"])
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert for_cmd(text) == text
