"""Quoting for Windows: for cmd.exe, and for PowerShell.

A Windows program gets one string and splits it into arguments itself; nearly all do so by the rules
of CommandLineToArgvW. cmd.exe reads the same string before that, by rules of its own, so an
argument that passes through cmd is quoted twice. Three rules decide what is done here:

- A program undoes double quotes, and backslashes before a double quote. Nothing else is special.
- cmd knows no escape inside double quotes, and its idea of where quotes end is not the program's:
  it toggles at every quote, backslash or not. Outside of quotes a caret escapes one character.
- cmd replaces ``%NAME%`` everywhere, inside quotes too. Only in a batch file is there an escape,
  ``%%``; what is quoted ``for_cmd`` belongs in a batch file if it has a percent sign.

Delayed expansion (``!NAME!``) is taken to be off, as it is by default. A line break cannot pass
through cmd in any way, and NUL cannot be in an argument: both are refused.

Sources: "Parsing C command-line arguments" and "cmd" in Microsoft's documentation; CVE-2024-24576.
"""

import re

from fleetwheel.errors import FleetwheelError

PLAIN = re.compile(r"[A-Za-z0-9_.:/\\+-]+")
"""What neither a program nor cmd reads as anything but itself."""
CMD_SPECIAL = re.compile(r'["&|<>()^]')
"""What a caret has to stand before, outside of quotes."""
NOT_IN_CMD = "\0\n\r\x1a"
"""cmd ends a line at these, or drops them, whatever stands before them."""


def for_cmd(argument: str) -> str:
    """Quote one argument for a line of a batch file; a program gets it as it is.

    cmd's own commands (``cd``, ``type``, ``del``, ``if exist``, redirection) take it as well where
    it has no double quote, which no file name has. Raises FleetwheelError for NUL and line breaks.
    """
    _refuse(argument, NOT_IN_CMD)
    if PLAIN.fullmatch(argument):
        return argument
    quoted = _in_quotes(argument)
    # With a quote inside, cmd must not see any quote as one: its pairs would be others.
    escaped = _with_carets(quoted) if '"' in argument else quoted
    return escaped.replace("%", "%%")


def set_for_cmd(name: str, value: str) -> str:
    """Return the ``set`` command of a batch file that gives a variable exactly this value.

    An empty value removes the variable: Windows has no empty ones in cmd. Raises FleetwheelError
    for a name that cmd cannot set, and for NUL and line breaks in the value.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_().-]*", name):
        raise FleetwheelError(
            f"{name!r} cannot be the name of an environment variable on Windows",
            hint="letters, digits and _, and no digit first",
        )
    _refuse(value, NOT_IN_CMD)
    return f"set {_with_carets(f'{name}={value}')}".replace("%", "%%")


def echo_for_cmd(text: str) -> str:
    """Return the ``echo`` command of a batch file that prints exactly this text.

    Raises FleetwheelError for NUL and line breaks.
    """
    _refuse(text, NOT_IN_CMD)
    return f"echo {_with_carets(text)}".replace("%", "%%")


def for_powershell(argument: str) -> str:
    """Return a PowerShell string literal, for cmdlets and expressions.

    PowerShell takes typographic quotes for straight ones. As an argument of a program it is not
    enough: Windows PowerShell 5 does not escape double quotes when it starts a program.
    """
    _refuse(argument, "\0")
    quotes = "'\u2018\u2019\u201a\u201b"
    return "'" + re.sub(f"[{quotes}]", lambda quote: quote[0] * 2, argument) + "'"


def _in_quotes(argument: str) -> str:
    """Double the backslashes before a quote, or before the end, and escape the quotes."""
    escaped = re.sub(r'(\\*)"', lambda found: found[1] * 2 + r"\"", argument)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f'"{escaped}{chr(92) * trailing}"'


def _with_carets(text: str) -> str:
    return CMD_SPECIAL.sub(r"^\g<0>", text)


def _refuse(text: str, characters: str) -> None:
    """The text is not shown: it may be a secret."""
    for character in characters:
        if character in text:
            raise FleetwheelError(
                f"an argument or variable holds {character!r}, which no command line of Windows"
                " can carry",
                hint="send it on standard input, or in a file",
            )
