"""What node/nvml.py prints, read into a driver and its GPUs.

The document is that of fleetwheel/node/nvml.py. It comes from a host: nothing in it is trusted.
"""

import json
from typing import Any

from pydantic import ValidationError

from fleetwheel.collectors.nvidia_smi import (
    LONGEST_DETAIL,
    LONGEST_NAME,
    gpu_capability,
    is_version,
)
from fleetwheel.host.profile import Driver, DriverState, Gpu, Nvidia

STRANGE = "the value is not one that is known here"
UNREADABLE = Nvidia(
    driver=Driver(state=DriverState.UNPARSABLE, detail="the answer of the NVML probe is unreadable")
)


def parse_nvml(text: str) -> Nvidia:
    """Read the probe's JSON document.

    A document that cannot be read is state ``unparsable``; a value that cannot be is None, with
    the reason in ``unavailable``; a GPU without index or name counts as lost. Never raises.
    """
    try:
        document = _clean(json.loads(text))
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(document, dict) or not isinstance(document.get("gpus"), list):
        return UNREADABLE
    found = [_gpu(raw) for raw in document["gpus"]]
    gpus = {gpu.index: gpu for gpu in found if gpu}
    return Nvidia(
        driver=_driver(document.get("driver"), found),
        gpus=tuple(gpus[index] for index in sorted(gpus)),
    )


def _driver(raw: Any, gpus: list[Gpu | None]) -> Driver:
    values = raw if isinstance(raw, dict) else {}
    text = {name: value for name, value in values.items() if isinstance(value, str)}
    try:
        state = DriverState(text.get("state", ""))
    except ValueError:
        return UNREADABLE.driver
    if state is DriverState.OK and not all(gpus):
        state = DriverState.GPU_LOST
    if state is DriverState.OK and not gpus:
        state = DriverState.NO_DEVICES
    versions = {name: text.get(name, "") for name in ("version", "cuda", "nvml")}
    return Driver(
        state=state,
        detail=text.get("detail", "")[:LONGEST_DETAIL],
        **{name: version for name, version in versions.items() if is_version(version)},
    )


def _gpu(raw: Any) -> Gpu | None:
    """Return a GPU without the values that are no value for it; None for one without a name."""
    if not isinstance(raw, dict):
        return None
    values = {name: raw[name] for name in Gpu.model_fields if raw.get(name) is not None}
    name = values.get("name")
    if not isinstance(name, str) or not name:
        return None
    values["name"] = name[:LONGEST_NAME]
    values["compute_capability"] = gpu_capability(str(values.get("compute_capability", "")), name)
    wrong = _wrong(values)
    if "index" in wrong:
        return None
    good = {name: value for name, value in values.items() if name not in wrong}
    reasons = {**good.get("unavailable", {}), **dict.fromkeys(sorted(wrong), STRANGE)}
    return _model({**good, "unavailable": reasons})


def _wrong(values: dict[str, Any]) -> set[str]:
    """Return the names of the fields whose values a Gpu does not take."""
    try:
        _model(values)
    except ValidationError as error:
        named = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
        return named or set(values)
    return set()


def _model(values: dict[str, Any]) -> Gpu:
    return Gpu.model_validate_json(json.dumps(values), strict=True)


def _clean(value: Any) -> Any:
    """Return JSON data without anything in its texts that would steer a terminal."""
    if isinstance(value, str):
        return "".join(filter(str.isprintable, value))
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(item) for name, item in value.items()}
    return value
