"""The proxy through which a host reaches the network."""

from collections.abc import Iterable

HERE = ("localhost", "127.0.0.1", "::1")


def variables(proxy: str | None, direct: Iterable[str] = ()) -> dict[str, str]:
    """Return the environment that tells uv, apt, dnf and zypper of a proxy; empty without one.

    ``direct`` are the hosts that are reached without it. Some programs read names in lowercase
    alone, and some take capitals first.
    """
    if proxy is None:
        return {}
    small = {
        "http_proxy": proxy,
        "https_proxy": proxy,
        "no_proxy": ",".join([*HERE, *direct]),
    }
    return small | {name.upper(): value for name, value in small.items()}
