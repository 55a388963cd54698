"""The sound devices of this machine, through sounddevice and PortAudio, and the choice of one by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stemwright.bridge.errors import NoAudio

JACK = "JACK Audio Connection Kit"

NO_PACKAGE = "the Python package sounddevice is missing; install it: pip install sounddevice"
NO_LIBRARY = (
    "the PortAudio library is missing; install it: apt install libportaudio2 (Debian, Ubuntu), "
    "dnf install portaudio (Fedora), pacman -S portaudio (Arch)"
)
NO_DEVICES = (
    "this system has no sound device; plug one in, or start its sound server (JACK, PipeWire, PulseAudio), "
    "then look with: stemwright serve --list-audio"
)


@dataclass(frozen=True)
class Device:
    """A sound device as the system lists it."""

    number: int
    name: str
    system: str  # ALSA, JACK Audio Connection Kit, Core Audio, Windows WASAPI …
    inputs: int  # channels
    outputs: int
    rate: int  # Hz, its own
    is_default_input: bool = False
    is_default_output: bool = False


def choose(devices: list[Device], wanted: str | int, side: str) -> Device:
    """The device of a number, a name, a part of one, or "default"; side: "input" or "output".

    A name that several have means the default among them, else the first of the default's system.
    """
    usable = [device for device in devices if (device.inputs if side == "input" else device.outputs)]
    if not usable:
        raise NoAudio(f"no sound device has an {side}. " + (NO_DEVICES if not devices else _listed(devices)))
    is_default = {
        device.number: device.is_default_input if side == "input" else device.is_default_output
        for device in usable
    }
    default = next((device for device in usable if is_default[device.number]), usable[0])
    if wanted == "default":
        return default
    if isinstance(wanted, int) or wanted.isdecimal():
        found = [device for device in usable if device.number == int(wanted)]
    else:
        words = wanted.casefold()
        found = [device for device in usable if words == device.name.casefold()] or [
            device for device in usable if all(word in label(device).casefold() for word in words.split())
        ]
    if len({device.name for device in found}) > 1:
        raise NoAudio(f"several devices are called {wanted!r:.60}: {_listed(found)}; say more of its name")
    if not found:
        raise NoAudio(f"no {side} is called {wanted!r:.60}; there are {_listed(usable)}")
    return min(found, key=lambda device: (device != default, device.system != default.system))


def label(device: Device) -> str:
    return f"{device.name} {device.system}"


def _listed(devices: list[Device]) -> str:
    return ", ".join(f"{device.number} {device.name} ({device.system})" for device in devices)


def portaudio() -> Any:
    """The sounddevice package, whose import opens PortAudio."""
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise NoAudio(NO_PACKAGE) from error
    except OSError as error:
        raise NoAudio(NO_LIBRARY) from error
    except Exception as error:  # PortAudioError has no name before the import
        raise NoAudio(f"the sound system does not start: {error}") from error
    return sounddevice


def listed_devices(sounddevice: Any) -> list[Device]:
    default_input, default_output = sounddevice.default.device
    systems = [system["name"] for system in sounddevice.query_hostapis()]
    return [
        Device(
            number,
            row["name"],
            systems[row["hostapi"]],
            row["max_input_channels"],
            row["max_output_channels"],
            round(row["default_samplerate"]),
            number == default_input,
            number == default_output,
        )
        for number, row in enumerate(sounddevice.query_devices())
    ]
