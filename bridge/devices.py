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


@dataclass(frozen=True)
class Choice:
    """What to open: devices (None: absent), channels, and Hz."""

    source: Device | None
    sink: Device | None
    inputs: int
    outputs: int
    rate: int  # of the timeline, which is the input's if there is one
    output_rate: int
    is_duplex: bool  # one stream for both: they have one clock

    def __str__(self) -> str:
        parts = []
        if self.source:
            parts.append(f"input {self.source.name} ({self.inputs} ch, {self.rate} Hz)")
        if self.sink:
            parts.append(f"output {self.sink.name} ({self.outputs} ch, {self.output_rate} Hz)")
        return ", ".join(parts)


def chosen(devices: list[Device], settings: dict[str, Any]) -> Choice:
    """By settings {input, output, rate, channels}; NoAudio says what there is instead."""
    if not devices:
        raise NoAudio(NO_DEVICES)
    source = None if settings["input"] is None else choose(devices, settings["input"], "input")
    sink = None if settings["output"] is None else choose(devices, settings["output"], "output")
    if source is None and sink is None:
        raise NoAudio("neither an input nor an output is named")
    is_duplex = bool(
        source and sink and (source.number == sink.number or source.system == sink.system == JACK)
    )
    own_rate = source.rate if source else sink.rate if sink else 0
    rate = settings["rate"] or own_rate
    inputs = 0 if source is None else settings["channels"] or min(2, source.inputs)
    if source and inputs > source.inputs:
        raise NoAudio(
            f"{source.name} has {source.inputs} inputs, {inputs} are asked for; ask for fewer channels"
        )
    output_rate = rate if sink is None or source is None or is_duplex else sink.rate
    return Choice(source, sink, inputs, min(2, sink.outputs) if sink else 0, rate, output_rate, is_duplex)


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
