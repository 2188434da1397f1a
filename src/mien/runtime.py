"""The only module that imports ONNX Runtime: a network as a function of arrays."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import InputError, ModelError
from mien.installs import clashes

log = logging.getLogger(__name__)

_QUIET = "ORT_DISABLE_TELEMETRY"  # read once, as the library loads; `disable_telemetry_events()` comes too late

if "onnxruntime" in sys.modules and _QUIET not in os.environ:
    log.warning(
        "onnxruntime was loaded before mien and may phone home; set %s=1 before your program starts",
        _QUIET,
    )
os.environ.setdefault(_QUIET, "1")  # worker processes inherit it

import onnxruntime as ort  # noqa: E402

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Provider:
    """What runs networks on a device other than the processor: ONNX Runtime's name for it, the package that brings it,
    and the system it is for ("" any)."""

    name: str
    package: str
    system: str = ""


CPU = "CPUExecutionProvider"
PROVIDERS: Mapping[str, Provider] = {
    "cuda": Provider("CUDAExecutionProvider", "onnxruntime-gpu"),
    "openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "coreml": Provider("CoreMLExecutionProvider", "onnxruntime", "darwin"),
    "directml": Provider("DmlExecutionProvider", "onnxruntime-directml", "win32"),
}
DEVICES = ("auto", "cpu", *PROVIDERS)
MOST_THREADS = (
    1024  # of one pass; ONNX Runtime ends the process where it cannot make them
)


def default_threads() -> int:
    """The processors this process may use, 4 at most: small networks gain nothing from more."""
    usable = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
    return max(1, min(4, usable))


@dataclass(frozen=True, slots=True)
class Compute:
    """Where networks run: `device` is one of `DEVICES` (an error where it is not there), "auto" CUDA where there is
    one, else the processor; `threads` of one pass, None takes `default_threads()`."""

    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise InputError(
                f"threads: 1 to {MOST_THREADS}, or None for as many as do well here; got {self.threads}"
            )

    def session_options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = (
            default_threads() if self.threads is None else max(1, self.threads)
        )
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # what fails is raised as our own error, once
        if self.device == "directml":  # it does without, or refuses to load
            options.enable_mem_pattern = False
        return options


def for_small(compute: Compute | None) -> Compute:
    """The same with one thread: a network of less than a millisecond gains nothing from more, and where processors are
    busy it waits for them."""
    return replace(compute or Compute(), threads=1)


def installed() -> tuple[str, list[str]]:
    """The version of ONNX Runtime, and where it can run networks."""
    return ort.__version__, ort.get_available_providers()


class OnnxModel:
    """A loaded network. Stateless and safe to share between threads.

    Args:
        data: The .onnx file's bytes.
        name: What error messages call it.
        compute: Where it runs; None takes what there is.

    Raises:
        ModelError: The bytes are no network, or the device is not there.
    """

    def __init__(self, data: bytes, name: str, compute: Compute | None = None) -> None:
        self.name = name
        compute = compute or Compute()
        try:
            providers = _providers(compute.device)
            # Else it prints on stdout what is wrong, and tries again without being asked.
            again = compute.device == "auto" and providers != [CPU]
            self._session = ort.InferenceSession(
                data,
                compute.session_options(),
                providers=providers,
                enable_fallback=int(again),
            )
            _check_used(self._session, compute.device)
            if not again:  # it would keep the file for that: 22 MB of dlib's network
                self._session._model_bytes = None
        except ModelError:
            raise
        except Exception as exc:  # ONNX Runtime's errors share no base but Exception
            raise ModelError(
                f"{name} is not a network ONNX Runtime can load: {_first_line(exc)}"
            ) from exc
        self.inputs: dict[str, Sequence[int | str]] = {
            i.name: i.shape for i in self._session.get_inputs()
        }
        self.outputs: tuple[str, ...] = tuple(
            o.name for o in self._session.get_outputs()
        )
        self.metadata: Mapping[str, str] = (
            self._session.get_modelmeta().custom_metadata_map
        )

    def __call__(
        self, *arrays: Array, outputs: Sequence[str] | None = None
    ) -> list[Array]:
        """Runs the network on arrays in the order of its inputs; gives the named outputs, or all in their order."""
        feed = dict(zip(self.inputs, arrays, strict=True))
        try:
            return list(self._session.run(list(outputs) if outputs else None, feed))
        except Exception as exc:
            raise ModelError(f"{self.name} failed: {_first_line(exc)}") from exc


def in_chunks(
    model: OnnxModel,
    batch: Array,
    *,
    size: int = 32,
    outputs: Sequence[str] | None = None,
) -> list[Array]:
    """Runs a batch of any length at most `size` rows at a time, so that memory stays bounded."""
    parts = [
        model(batch[i : i + size], outputs=outputs)
        for i in range(0, max(1, len(batch)), size)
    ]
    return (
        parts[0]
        if len(parts) == 1
        else [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    )


def _providers(device: str) -> list[str]:
    if device not in DEVICES:
        raise ModelError(
            f"device {device!r} is unknown; use one of {', '.join(DEVICES)}"
        )
    there = ort.get_available_providers()
    if device == "auto" and PROVIDERS["cuda"].name in there:
        device = "cuda"
    if device in {"auto", "cpu"}:
        return [CPU]
    if PROVIDERS[device].name not in there:
        raise ModelError(_not_there(device))
    return [PROVIDERS[device].name, CPU]  # the latter for what the former lacks


def _check_used(session: ort.InferenceSession, device: str) -> None:
    """Raises ModelError where ONNX Runtime went over to the processor without a word, as where drivers are missing."""
    if device in PROVIDERS and PROVIDERS[device].name not in session.get_providers():
        raise ModelError(
            f"{device} is in this ONNX Runtime, but does not start: its drivers or libraries are missing or do not "
            f"fit; 'mien doctor' shows what is there; or choose the device 'cpu'"
        )


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0]


def _not_there(device: str) -> str:
    """Why a device is not there, and the cure. All ONNX Runtimes have one folder, and an extra cannot take one away."""
    wanted = PROVIDERS[device]
    if wanted.system and wanted.system != sys.platform:
        return f"{device} is not made for this system; choose the device 'cpu'"
    found = [line for line in clashes() if "onnxruntime" in line]
    if found:
        return found[0]
    gone = " ".join(dict.fromkeys(("onnxruntime", wanted.package)))
    return (
        f"no {device} in this ONNX Runtime; run 'pip uninstall -y {gone} && pip install {wanted.package}', "
        f"or choose the device 'cpu'"
    )
