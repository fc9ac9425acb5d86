"""Why a wheel was chosen, or none: a few lines that a person understands."""

from collections.abc import Sequence

from fleetwheel.choosing.compatibility import Host, dotted, joined, supports_fully
from fleetwheel.choosing.offers import Fit, Offer
from fleetwheel.choosing.search import Lost, Question

SYSTEMS = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}


def named(offer: Offer) -> str:
    """Return ``2.14.1+cu126``."""
    return f"{offer.version}+{offer.variant}"


def of_choice(offer: Offer, fit: Fit, question: Question, lost: Sequence[Lost]) -> tuple[str, ...]:
    """Return why an offer was taken."""
    lines = [_newest(offer, question, lost), _device(offer, question)]
    place = f" in {offer.source.name}" if offer.source else ""
    lines.append(f"there is a wheel for {_where(question.host)}, Python {fit.python.minor}{place}")
    if offer.build and offer.build.confidence == "low":
        lines.append("what this build was compiled for is inferred, not read from it")
    return tuple(lines)


def _newest(offer: Offer, question: Question, lost: Sequence[Lost]) -> str:
    for newer, reason in lost:
        if newer.version > offer.version:
            return f"newest torch that runs here; {named(newer)} {reason}"
    pin = question.pins.text
    if pin:
        return f"newest torch that {pin} allows"
    newest = max(question.matrix.releases)
    if offer.source and newest > offer.version:
        kind = "CUDA" if question.host.devices else offer.variant
        return f"newest torch here; {newest} is out, but no source that answers has it as {kind}"
    return "newest torch"


def _device(offer: Offer, question: Question) -> str:
    host = question.host
    if not host.devices:
        if offer.variant != "cpu":
            return f"{offer.variant} was asked for by name, though no GPU is served"
        asked = question.pins.accelerator == "cpu"
        return "accelerator: cpu asks for CPU wheels" if asked else "the host has no NVIDIA GPU"
    cuda = question.matrix.cuda[offer.variant]
    how = f"supports CUDA {joined(cuda.version)} fully"
    if not supports_fully(host, cuda):
        floor = dotted(cuda.driver[host.system])
        how = f"runs CUDA {joined(cuda.version)} by minor-version compatibility ({floor} or newer)"
    return f"{offer.variant} has code for {_gpus(host)}; driver {host.driver_name} {how}"


def of_refusal(question: Question, lost: Sequence[Lost], *, offline: bool) -> tuple[str, ...]:
    """Return why nothing could be taken: the whole in one line, then what the newest lack."""
    if not lost:
        return (_nothing(question, offline),)
    host = question.host
    minors = ", ".join(dict.fromkeys(python.minor for python in question.pythons))
    on = f"{_gpus(host)} with driver {host.driver_name}" if host.devices else "the CPU"
    lines = [f"no torch wheel runs on {on}, {_where(host)}, Python {minors}"]
    by_reason: dict[str, Offer] = {}
    for offer, reason in lost:
        by_reason.setdefault(reason, offer)
    lines += [f"{named(offer)} {reason}" for reason, offer in list(by_reason.items())[:3]]
    return tuple(lines)


def _nothing(question: Question, offline: bool) -> str:
    """Return why there was not even something to reject."""
    pins, where = question.pins, _where(question.host)
    if pins.label and pins.accelerator not in ("auto", "cuda", pins.label):
        return f"torch asks for {pins.label} and accelerator for {pins.accelerator}"
    if question.pins.label == "cpu" and question.host.devices:
        return "torch asks for CPU wheels on a host with an NVIDIA GPU"
    kind = "CUDA" if question.host.devices else "CPU"
    if pins.accelerator not in ("auto", "cuda"):
        kind = pins.accelerator
    pinned = f" of torch {pins.text}" if pins.text else ""
    if offline:
        return f"there are no {kind} wheels{pinned} for {where}"
    return f"the sources that answer hold no {kind} wheels{pinned} for {where}"


def _where(host: Host) -> str:
    system, arch = host.platform
    glibc = f" with glibc {joined(host.glibc)}" if host.glibc else ""
    return f"{SYSTEMS.get(system, system)} {arch}{glibc}"


def _gpus(host: Host) -> str:
    return " and ".join(device.label for device in host.devices)
