"""Prompts are understood: negation, bad ones, and file names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemwright.engine.errors import BadPrompt
from stemwright.engine.prompts import (
    LONGEST_PROMPT,
    LONGEST_SLUG,
    LONGEST_SLUG_BYTES,
    Query,
    clean_prompt,
    parse_prompt,
    slug,
)

OTHER_SIDE = {
    "everything but the vocals": "vocals",
    "everything except drums": "drums",
    "Everything except for the lead guitar.": "lead guitar",
    "everything other than vocals": "vocals",
    "everything that isn’t drums": "drums",
    "everything but the shakuhachi": "shakuhachi",
    "the sound of everything but the drums": "drums",
    "I want everything without the singing": "singing",
    "keep everything but the bass": "bass",
    "anything but the drums": "drums",
    "all but the guitar": "guitar",
    "All except Bass": "bass",
    "all instruments except the piano": "piano",
    "the whole mix minus the vocals": "vocals",
    "the rest of the song without the vocals": "vocals",
    "the track with no drums": "drums",
    "backing track without vocals": "vocals",
    "what's left after removing the bass": "bass",
    "without drums": "drums",
    "without any vocals": "vocals",
    "no drums": "drums",
    "no bass, no drums": "bass and drums",
    "not the drums": "drums",
    "minus bass": "bass",
    "remove the drums": "drums",
    "please remove the vocals from this song": "vocals",
    "get rid of the bass": "bass",
    "mute the drums": "drums",
    "cut the vocals out": "vocals",
    "take the drums out": "drums",
    "don't include the vocals": "vocals",
    "vocals removed": "vocals",
    "instrumental": "vocals",
    "the instrumental version": "vocals",
    "karaoke": "vocals",
    "minus-one": "vocals",
    "drumless": "drums",
    "drum-less version": "drums",
    "vocal-free": "vocals",
}

ONE_SOUND = {
    "drums": "drums",
    "The Sound of the Bass": "the sound of the bass",
    "give me just the drums please": "the drums",
    "isolate the vocals": "the vocals",
    "a cappella": "vocals",
    "Acapella!": "vocals",
    "no instruments": "vocals",
    "vocals only, no music": "vocals",
    "remove everything but the drums": "drums",
    "bass without distortion": "bass without distortion",
    "clean guitar with no reverb": "clean guitar with no reverb",
    "strings without vibrato": "strings without vibrato",
    "no-input mixer": "no-input mixer",
    "no wave guitar": "no wave guitar",
    "fretless bass": "fretless bass",
    "bass drop": "bass drop",
    "muted trumpet": "muted trumpet",
    "mute trumpet": "mute trumpet",
    "instrumental guitar": "instrumental guitar",
    "nobody singing": "nobody singing",
    "notes of a minuscule bell": "notes of a minuscule bell",
    "killer bass": "killer bass",
    "exceptional drums": "exceptional drums",
    "without": "without",
}

TWO_SIDES = {
    "guitar but not bass": ("guitar", "bass"),
    "guitar not bass": ("guitar", "bass"),
    "piano, no strings": ("piano", "strings"),
    "horns but no saxes": ("horns", "saxes"),
    "drums and bass without the vocals": ("drums and bass", "vocals"),
    "strings except cello": ("strings", "cello"),
    "orchestra minus the timpani": ("orchestra", "timpani"),
    "keys without the piano": ("keys", "piano"),
}


@pytest.mark.parametrize("prompt", OTHER_SIDE)
def test_a_negated_sound_asks_for_the_other_side(prompt: str) -> None:
    assert parse_prompt(prompt) == Query(positive=OTHER_SIDE[prompt], inverted=True)


@pytest.mark.parametrize("prompt", ONE_SOUND)
def test_words_that_only_look_like_negation_name_one_sound(prompt: str) -> None:
    assert parse_prompt(prompt) == Query(positive=ONE_SOUND[prompt])


@pytest.mark.parametrize("prompt", TWO_SIDES)
def test_one_instrument_but_not_another_is_steered_away_from_the_other(prompt: str) -> None:
    positive, negative = TWO_SIDES[prompt]
    assert parse_prompt(prompt) == Query(positive=positive, negative=negative)


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t", "\x00\x07"])
def test_an_empty_prompt_is_refused_with_an_example(prompt: str) -> None:
    with pytest.raises(BadPrompt, match=r"empty.*drums"):
        parse_prompt(prompt)


def test_a_long_prompt_is_refused_with_its_length_and_the_limit() -> None:
    assert parse_prompt("a" * LONGEST_PROMPT).positive == "a" * LONGEST_PROMPT
    with pytest.raises(BadPrompt, match=r"10240 characters; at most 1000"):
        parse_prompt("x" * 10240)


def test_control_characters_and_line_ends_become_single_spaces() -> None:
    assert clean_prompt("slap\r\n\tbass\x00 guitar\u2028") == "slap bass guitar"


@pytest.mark.parametrize("prompt", ["🥁", "ドラム", "бас", "🎸 guitar"])
def test_emoji_and_other_scripts_pass_the_door(prompt: str) -> None:
    assert parse_prompt(prompt) == Query(positive=prompt)


@given(st.text(max_size=LONGEST_PROMPT))
def test_any_text_is_either_understood_or_refused(prompt: str) -> None:
    try:
        query = parse_prompt(prompt)
    except BadPrompt:
        return
    assert query.positive.strip()
    assert query.negative is None or query.negative.strip()


SLUGS = {
    "drum kit": "drum-kit",
    "the Slap Bass!": "slap-bass",
    "the sound of the bass": "bass",
    "no-input mixer": "no-input-mixer",
    "../../etc/passwd": "etc-passwd",
    "..": "stem",
    "C:\\temp\\x": "c-temp-x",
    "\"quoted\" 'text'": "quoted-text",
    "line\nbreak\x00\x1b": "line-break",
    "CON": "con-stem",
    "com1": "com1-stem",
    "🥁": "stem",
    "": "stem",
    "鼓": "鼓",
    "e\u0301cho": "\u00e9cho",
    "हिन्दी": "हिन्दी",
}


@pytest.mark.parametrize("prompt", SLUGS)
def test_a_slug_is_a_safe_part_of_a_file_name(prompt: str) -> None:
    assert slug(prompt) == SLUGS[prompt]


@given(st.text())
def test_a_slug_is_never_empty_hidden_too_long_or_a_path(prompt: str) -> None:
    name = slug(prompt)
    assert 0 < len(name) <= LONGEST_SLUG
    assert len(name.encode()) <= LONGEST_SLUG_BYTES
    assert not set(name) & set("/\\:*?\"<>|.' \n\0")
    assert not name.startswith("-")
