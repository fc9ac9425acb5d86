"""The version of an NVIDIA driver, as Windows writes it."""

import re


def from_windows(text: str) -> str | None:
    """Return ``560.94`` for ``32.0.15.6094``, as Device Manager shows it; None for other forms.

    The last five digits are NVIDIA's version; what stands before them is Windows' own.
    """
    found = re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}\.1([0-9])\.([0-9]{4})", text)
    if found is None:
        return None
    digits = found[1] + found[2]
    return f"{digits[:3]}.{digits[3:]}"
