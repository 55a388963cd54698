"""The MIDI map: what it may say, what it says when it may not, and that learning keeps it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from stemwright.bridge.grammar import BadMessage
from stemwright.bridge.mapwriting import save, written
from stemwright.bridge.midiactions import KINDS, Action, Trigger, fired, parsed, scaled, with_defaults
from stemwright.bridge.midimap import BadMap, Binding, Lights, MidiMap, parse, read_map, user_map
from stemwright.bridge.options import BY_NAME
from stemwright.bridge.request import make

KNOB = Trigger("controller", 20, 1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "configuration"))


# Actions


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("preset slap-bass", Action("job", pairs=(("preset", "slap-bass"),))),
        ("preset 'slap bass' steps=9", Action("job", pairs=(("preset", "slap bass"), ("steps", 9)))),
        ("prompt slap bass", Action("job", task="extract", pairs=(("prompt", "slap bass"),))),
        (
            "add 'a=b' prompt='x = y' guidance=2.5 bars=4",
            Action("job", task="add", pairs=(("a", "b"),)),
        ),
        (
            "accompany a choir format=flac",
            Action("job", "accompany", (("prompt", "a choir"), ("format", "flac"))),
        ),
        (
            "generate prompt=kick prompt=hat",
            Action("job", "generate", (("prompt", "kick"), ("prompt", "hat"))),
        ),
        ("extract like=/tmp/a.wav", Action("job", "extract", (("like", "/tmp/a.wav"),))),
        ("set guidance", Action("set", option="guidance", low=0, high=100)),
        ("set guidance 8 to 1", Action("set", option="guidance", low=8, high=1)),
        ("set sampler ddim", Action("set", option="sampler", pairs=(("sampler", "ddim"),))),
        ("capture 4 bars", Action("capture", length=4, unit="bars")),
        ("capture 1 second", Action("capture", length=1, unit="seconds")),
        ("cancel", Action("cancel", scope="last")),
        ("cancel all", Action("cancel", scope="all")),
        ("play", Action("play")),
        ("stop", Action("stop")),
    ],
)
def test_a_line_is_its_action(text: str, action: Action) -> None:
    if "a=b" in text:
        with pytest.raises(BadMessage, match="no option 'a'"):
            parsed(text)
    else:
        assert parsed(text) == replace(action, text=text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no action ''; an action begins with preset, prompt"),
        ("fly away", "no action 'fly'"),
        ("preset", "preset takes one name"),
        ("preset a b", "2 came"),
        ("extract bars=4", "extract says not what to hear"),
        ("extract bass steps=0", "steps is 0; it may be 1 to 1000"),
        ("extract bass steps=many", "steps: a number is needed, 'many' came"),
        ("extract bass steps=2.5", "a whole number"),
        ("extract bass steps=nan", "steps: a number is needed"),
        ("extract bass format=mp3", "it may be wav, flac"),
        ("extract bass hue=3", "no option 'hue'; there are: prompt"),
        ("extract drummer's groove", "No closing quotation"),
        ("set", "set takes an option, '' came; there are last, bars"),
        ("set prompt x", "set takes an option, 'prompt' came"),
        ("set guidance 1 to 101", "guidance is 101; it may be 0 to 100"),
        ("set guidance 1 bis 3", "LOW to HIGH; '1 bis 3' came"),
        ("set sampler", "set sampler takes one of ddim, unipc, ab2"),
        ("capture 4", "capture 4 bars; '4' came"),
        ("capture 4 beats", "seconds or bars"),
        ("capture x bars", "capture: a number is needed, 'x' came"),
        ("capture 999 bars", "capture 999 bars; it may be 0.25 to 256"),
        ("cancel some", "cancel takes last or all; 'some' came"),
        ("stop now", "stop takes nothing; 'now' came"),
    ],
)
def test_a_line_that_is_none_says_what_may_be(text: str, says: str) -> None:
    with pytest.raises(BadMessage) as caught:
        parsed(text)
    assert says in str(caught.value)


def test_a_controller_runs_over_the_range_and_meets_both_ends() -> None:
    knob = parsed("set guidance 1 to 8")
    assert fired(knob, KNOB, 1.0, 0).pairs == (("guidance", 1.0),)
    assert fired(knob, KNOB, 1.0, 127).pairs == (("guidance", 8.0),)
    assert fired(knob, KNOB, 1.0, 64).pairs[0][1] == pytest.approx(1 + 7 * 64 / 127)
    assert fired(parsed("set seed 0 to 127"), KNOB, 1.0, 77).pairs == (("seed", 77),)
    assert fired(parsed("set seed"), KNOB, 1.0, 127).pairs == (("seed", 2**31 - 1),)
    assert fired(parsed("set variations"), KNOB, 1.0, 0).pairs == (("variations", 1),)


@given(
    name=some.sampled_from(["guidance", "steps", "seed", "variations", "last", "bars"]),
    value=some.integers(0, 127),
)
def test_every_position_of_a_knob_is_a_value_its_option_takes(name: str, value: int) -> None:
    option = BY_NAME[name]
    assert option.low is not None and option.high is not None
    found = scaled(option, value, option.low, option.high)
    assert isinstance(found, int) == (option.kind == "i")
    source = [] if name in ("last", "bars") else [("path", "in.wav")]
    make("job", "extract", [("prompt", "bass"), (name, found), *source])


def test_defaults_fill_in_what_a_job_leaves_open_and_never_a_second_input() -> None:
    action = replace(parsed("extract bass"), defaults=(("last", 8.0), ("steps", 20)))
    assert with_defaults(action, "extract", action.pairs) == (
        ("prompt", "bass"),
        ("last", 8.0),
        ("steps", 20),
    )
    assert with_defaults(action, "extract", (("bars", 4), ("steps", 9))) == (("bars", 4), ("steps", 9))
    assert with_defaults(action, "generate", ()) == (("steps", 20),)


# Files


def test_the_shipped_map_is_read_where_a_user_has_none_and_every_job_of_it_is_complete() -> None:
    found = read_map()
    assert found.path is None and len(found.bindings) >= 16
    assert {each.trigger.kind for each in found.bindings} == {"note", "controller"}
    for each in found.bindings:
        if each.action.kind == "job":
            make("job", each.action.task, with_defaults(each.action, each.action.task, each.action.pairs))


def test_a_users_own_map_goes_before_the_shipped_one() -> None:
    user_map().parent.mkdir(parents=True)
    user_map().write_text('[[note]]\nnote = 1\ndo = "play"\n')
    found = read_map()
    assert found.path == user_map()
    assert [each.trigger for each in found.bindings] == [Trigger("note", 1)]


def test_all_parts_of_a_map_are_read() -> None:
    found = parse(
        """
        [ports]
        virtual = false
        inputs = ["nanoPAD2"]
        outputs = ["*"]
        api = "jack"
        [lights]
        queued = 13
        channel = 3
        hold_seconds = 1
        [clock]
        beats_per_bar = 7
        [defaults]
        bars = 2
        [[program]]
        program = 127
        channel = 16
        light = 12
        do = "play"
        [[note]]
        note = 0
        channel = "any"
        do = "stop"
        """,
        "test",
    )
    assert (found.ports.virtual, found.ports.inputs, found.ports.outputs) == (False, ("nanoPAD2",), ("*",))
    assert found.ports.api == "jack"
    assert found.lights == Lights(queued=13, channel=3, hold_seconds=1.0)
    assert (found.beats_per_bar, found.defaults) == (7, (("bars", 2.0),))
    assert [each.light for each in found.bindings] == [None, 12]
    assert found.find("program", 127, 16) and not found.find("program", 127, 1)


def test_the_channels_own_binding_goes_before_that_of_any() -> None:
    any_channel = '[[note]]\nnote = 1\ndo = "play"\n'
    own = '[[note]]\nnote = 1\nchannel = 2\ndo = "stop"\n'
    for text in (any_channel + own, own + any_channel):
        found = parse(text, "test")
        kinds = [each and each.action.kind for each in (found.find("note", 1, 1), found.find("note", 1, 2))]
        assert kinds == ["play", "stop"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("note = [", "map.toml: is not TOML"),
        ("note = 3", "map.toml, the top, note: is 3; it may be tables, each headed [[note]]"),
        ("nota = 3", "map.toml, the top: no 'nota' here; there are clock, controller, defaults"),
        ("ports = 3", "map.toml, [ports]: is 3; it must be a table"),
        (
            "[ports]\ninput = []",
            "map.toml, [ports]: no 'input' here; there are api, inputs, outputs, virtual",
        ),
        ('[ports]\ninputs = "pad"', "map.toml, [ports], inputs: is 'pad'; it may be a list of names"),
        ("[ports]\nvirtual = 1", "map.toml, [ports], virtual: is 1; it may be true or false"),
        (
            "[lights]\nqueued = 128",
            "map.toml, [lights], queued: is 128; it may be a whole number from 0 to 127",
        ),
        ("[lights]\nhold_seconds = -1", "[lights], hold_seconds: is -1; it may be a number from 0 to 3600"),
        (
            "[clock]\nbeats_per_bar = 0",
            "map.toml, [clock], beats_per_bar: is 0; it may be a whole number from 1 to 32",
        ),
        ("[defaults]\nsteps = 0", "map.toml, [defaults]: steps is 0; it may be 1 to 1000"),
        ('[[note]]\ndo = "play"', "map.toml, [[note]] 1: note is missing"),
        ("[[note]]\nnote = 1", "map.toml, [[note]] 1: do is missing"),
        (
            '[[note]]\nnote = 1\nchanel = 2\ndo = "play"',
            "map.toml, [[note]] 1: no 'chanel' here; there are channel, do",
        ),
        ('[[note]]\nnote = 128\ndo = "play"', "map.toml, [[note]] 1, note: is 128; it may be a whole number"),
        ('[[note]]\nnote = true\ndo = "play"', "[[note]] 1, note: is True; it may be"),
        (
            '[[note]]\nnote = 1\nchannel = 0\ndo = "play"',
            "[[note]] 1, channel: is 0; it may be a whole number from 1",
        ),
        ("[[note]]\nnote = 1\ndo = 5", "[[note]] 1, do: is 5; it may be text in quotes"),
        ('[[note]]\nnote = 1\ndo = "set guidance"', "[[note]] 1, do: 'set guidance' follows a controller"),
        ('[[controller]]\ncontroller = 1\ndo = "fly"', "map.toml, [[controller]] 1, do: no action 'fly'"),
        ('[[note]]\nnote = 1\ndo = "play"\n' * 2, "map.toml: note 1 on any channel is bound twice"),
    ],
)
def test_a_wrong_map_names_file_table_value_and_what_may_be(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(BadMap) as caught:
        read_map(tmp_path / "map.toml")
    assert says in str(caught.value)


def test_a_map_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadMap, match="cannot be read: No such file"):
        read_map(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(BadMap, match="is not UTF-8 text"):
        read_map(tmp_path / "latin.toml")


# Learning and writing

WORDS = some.text(some.characters(blacklist_categories=["Cs"]), max_size=12)
TRIGGERS = some.builds(
    Trigger, some.sampled_from(KINDS), some.integers(0, 127), some.none() | some.integers(1, 16)
)


@given(
    words=some.lists(WORDS.filter(lambda text: "\r" not in text), max_size=3),
    hold=some.floats(0, 3600),
    triggers=some.lists(TRIGGERS, max_size=5, unique=True),
)
def test_a_map_written_is_the_same_map_when_read(
    words: list[str], hold: float, triggers: list[Trigger]
) -> None:
    names = tuple(word for word in words if word)
    ports = replace(MidiMap().ports, inputs=names, virtual=bool(len(names) % 2))
    defaults = (("negative", "".join(words).replace("\0", "")), ("steps", 7), ("bars", 0.5))
    found = MidiMap(ports=ports, lights=Lights(hold_seconds=hold), defaults=defaults, beats_per_bar=5)
    for trigger in triggers:
        found = found.bound(trigger, parsed('extract "slap \\"bass\\"" steps=3'))
    again = parse(written(found), "test")
    assert set(again.bindings) == set(found.bindings)
    assert replace(again, bindings=()) == replace(found, bindings=())


def learn(found: MidiMap, path: Path, trigger: Trigger, text: str) -> MidiMap:
    learned = found.bound(trigger, parsed(text))
    save(learned, path, Binding(trigger, parsed(text)))
    return learned


def test_learning_keeps_comments_and_the_old_file_beside_it(tmp_path: Path) -> None:
    path, text = tmp_path / "midi.toml", '# mine\n[[note]]\nnote = 1  # a pad\ndo = "play"\n'
    path.write_text(text)
    learned = learn(read_map(path), path, Trigger("note", 2, 3), "stop")
    assert path.read_text().startswith(text)
    assert read_map(path) == learned
    assert (tmp_path / "midi.toml.bak").read_text() == text
    assert sorted(os.listdir(tmp_path)) == ["midi.toml", "midi.toml.bak"]


def test_learning_a_bound_trigger_anew_replaces_what_it_did(tmp_path: Path) -> None:
    path = tmp_path / "midi.toml"
    path.write_text('# mine\n[[note]]\nnote = 1\ndo = "play"\n[[note]]\nnote = 9\ndo = "stop"\n')
    learn(read_map(path), path, Trigger("note", 1), "cancel all")
    found = read_map(path)
    assert {each.trigger.number: each.action.kind for each in found.bindings} == {1: "cancel", 9: "stop"}
    assert "# mine" in (tmp_path / "midi.toml.bak").read_text()


def test_learning_on_the_shipped_map_writes_a_users_map_with_all_of_it() -> None:
    shipped = read_map()
    learned = learn(shipped, user_map(), Trigger("note", 100, 1), "play")
    found = read_map()
    assert found.path == user_map()
    assert set(found.bindings) == set(learned.bindings) > set(shipped.bindings)
    assert not user_map().with_name("midi.toml.bak").exists()


def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "midi.toml"
    path.write_text('[[note]]\nnote = 1\ndo = "play"\n')
    before, found = path.read_text(), read_map(path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        learn(found, path, Trigger("note", 2), "stop")
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ["midi.toml"]
