"""What a prompt asks for: which sound, and whether it or everything else is wanted.

Sentence encoders ignore negation ("everything but the vocals" lands on vocals),
so it is understood here, by rule, before anything is embedded:

    everything but the drums · no drums · drumless · instrumental    the other side of the sound named
    guitar but not bass · piano without the organ                    the first, steered away from the second
    bass without distortion · strings without vibrato                one sound: the words describe it
    no-input mixer · no wave · nobody singing · bass drop            one sound: nothing is negated
    mute trumpet · mute guitar                                       one sound: a way of playing
    remove everything but the bass                                   the bass: negated twice

Where a phrase could be either, what follows the negation is a second sound only
if an instrument is named in it (INSTRUMENTS).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from stemwright.engine.errors import BadPrompt

LONGEST_PROMPT = 1000  # characters
LONGEST_SLUG = 60  # characters
LONGEST_SLUG_BYTES = 120  # of UTF-8: a file name has 255 with the song's name in it

INSTRUMENTS = frozenset(
    """
    808 909 accordion bagpipe bandoneon banjo bass bassist bassline bassoon beat bell bongo brass celesta
    cello choir choral clap clarinet clavinet conga cowbell cymbal djembe drum drummer drumkit drumset
    dulcimer fiddle flute glockenspiel guitar guitarist hammond harmonica harp harpsichord hat hi-hat
    hihat horn instrument kalimba keyboard key kick koto lead lyric mallet mandolin marimba melody oboe
    ocarina orchestra organ pad percussion pianist piano piccolo pipe rap rapper recorder reed rhodes sax
    saxophone saxophonist shaker shakuhachi singer singing sitar snare solo speech string synth
    synthesizer tabla tambourine timpani tom trombone trumpet tuba ukulele vibes vibraphone viola violin
    violinist vocal vocalist voice vox whistle wind woodwind wurlitzer xylophone
    """.split()
)

OTHER_SIDE_OF_VOCALS = re.compile(
    r"(?:instrumentals?|karaoke)(?: (?:version|track|mix|part|only))?|backing track|minus[ -]one"
)
VOCALS_ALONE = re.compile(
    r"a[ -]?cc?app?ell?a(?: (?:vocals?|version|track|mix|only))?|"
    r"(?:no|without)(?: the)? (?:instruments|music|instrumental)"
)
EVERYBODY_ELSE = re.compile(r"(?:other )?(?:instruments?|sounds?)|music|anything else|anyone else|others")

ALL = (
    r"(?:everything|anything|everyone|everybody|all|all of it|all (?:the )?(?:other )?instruments|"
    r"all (?:the )?sounds|(?:the )?rest|(?:the )?others|what's left|what is left|what remains)"
)
SONG = (
    r"(?:(?:a|the|this|whole|full|entire|rest of the) )*"
    r"(?:mix|song|backing track|track|music|recording|arrangement|version)"
)
NOT = (
    r"(?:but not|but|not|except for|except|excepting|excluding|apart from|aside from|other than|besides|"
    r"minus|without|with no|after removing|that is not|that isn't|that's not|which is not|which isn't)"
)
DROP = (
    r"(?:remove|removing|delete|deleting|take out|take away|get rid of|exclude|leave out|omit|filter out|"
    r"eliminate|erase|don't (?:include|play|want)|do not (?:include|play|want)|i don't want|i do not want)"
)
MAYBE_DROP = r"(?:mute|muting|drop|cut out|cut|kill|lose|strip out|strip away|strip|silence)"
ASIDE = (
    r"(?:but not|but no|but without|without|with no|minus|except for|except|excluding|and not|and no|not|no)"
)
POLITE = (
    r"(?:please|can you|could you|would you|i want|i need|i would like|i'd like|give me|get me|show me|"
    r"let me hear|extract|isolate|separate|pull out|grab|fetch|keep|only|just)"
)
LESS = r"(?:drum|bass|vocal|voice|guitar|piano|beat|horn|string)"
PLURAL = {
    "drum": "drums",
    "vocal": "vocals",
    "voice": "vocals",
    "beat": "drums",
    "horn": "horns",
    "string": "strings",
}


@dataclass(frozen=True)
class Query:
    """A prompt, understood.

    positive  the sound named; never empty
    negative  a sound to steer away from, or None
    inverted  True: the other side is wanted, everything but `positive`
    """

    positive: str
    negative: str | None = None
    inverted: bool = False


def parse_prompt(text: str) -> Query:
    """Understand a user's prompt; BadPrompt when it says nothing or too much."""
    words = _spoken(clean_prompt(text))
    return _whole_phrase(words) or _inverted(words) or _two_sided(words) or Query(positive=words)


def clean_prompt(text: str) -> str:
    """The prompt on one line: line ends, tabs and control characters become single spaces (NFC)."""
    if len(text) > LONGEST_PROMPT:
        raise BadPrompt(
            f"the prompt has {len(text)} characters; at most {LONGEST_PROMPT} are read. "
            'Name the sound in a few words, such as "slap bass".'
        )
    letters = (" " if unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} else letter for letter in text)
    cleaned = " ".join(unicodedata.normalize("NFC", "".join(letters)).split())
    if not cleaned:
        raise BadPrompt('the prompt is empty. Name a sound, such as "drums" or "everything but the vocals".')
    return cleaned


def listed_sounds(words: str) -> list[str]:
    """The sound named, without "the sound of the", and each one it lists: "horns and strings" → 3 texts."""
    whole = _bare(words) or words
    parts = [part for part in map(_bare, _LISTED.split(whole)) if re.search(r"[^\W_]", part)]
    return list(dict.fromkeys([whole, *parts]))


def _spoken(cleaned: str) -> str:
    """Lower case, straight apostrophes, no closing mark, no politeness in front or behind."""
    words = cleaned.lower().replace("’", "'").strip(' .!?,;:"“”')
    words = re.sub(r"(?:,? please|,? thanks)$", "", words)
    words = re.sub(r"^(?:the )?sounds? of (?=everything|all |anything)", "", words)
    return _without(POLITE + r",?", words) or cleaned


def _without(lead: str, words: str) -> str:
    """The words with every leading match of a pattern and a space taken off, the last word never."""
    previous = ""
    while words != previous:
        previous, words = words, re.sub(rf"^{lead} (?=\S)", "", words)
    return words


_LISTED = re.compile(r"\s*[,;&+/]\s*|\s+(?:and|or|plus|with)\s+")


def _whole_phrase(words: str) -> Query | None:
    for phrase in (words, _bare(words)):
        if OTHER_SIDE_OF_VOCALS.fullmatch(phrase):
            return Query(positive="vocals", inverted=True)
        if VOCALS_ALONE.fullmatch(phrase):
            return Query(positive="vocals")
    return None


_TWICE = re.compile(rf"(?:{DROP}|{MAYBE_DROP}) {ALL},? {NOT} (?P<sound>.+)")
_CERTAIN = (
    re.compile(rf"{ALL},? {NOT} (?P<sound>.+)"),
    re.compile(rf"{DROP} (?P<sound>.+?)(?: (?:from|out of|in) .+)?"),
    re.compile(r"(?:without|excluding|anything but|(?:the )?opposite of) (?P<sound>.+)"),
)
_IF_INSTRUMENT = (
    re.compile(rf"(?:take|{MAYBE_DROP}) (?P<sound>.+) (?:out|away)"),
    re.compile(rf"{SONG},? {NOT} (?P<sound>.+)"),
    re.compile(r"(?:no(?! wave| input)|not(?! just| only)|minus|sans|except) (?P<sound>.+)"),
    re.compile(
        rf"(?!mute (?:trumpet|trombone|horn|guitar)){MAYBE_DROP} (?P<sound>.+?)(?: (?:from|out of|in) .+)?"
    ),
    re.compile(r"(?P<sound>.+) (?:removed|taken out|left out)"),
    re.compile(r"(?P<sound>[\w ]+)-(?:free|less)(?: (?:version|mix|track|song|music))?"),
    re.compile(rf"(?P<sound>{LESS})less(?: (?:version|mix|track|song|music))?"),
)


def _inverted(words: str) -> Query | None:
    """Phrases that name only what is not wanted."""
    if twice := _TWICE.fullmatch(words):
        return Query(positive=_bare(twice["sound"]))
    for pattern in (*_IF_INSTRUMENT, *_CERTAIN):
        found = pattern.fullmatch(words)
        if found and (pattern in _CERTAIN or _names_instrument(found["sound"])):
            sound = re.sub(
                r"(?:,? and|,? or|,)? (?:no|without|nor|or|minus) ", " and ", _bare(found["sound"])
            )
            return Query(positive=PLURAL.get(sound, sound), inverted=True)
    return None


def _two_sided(words: str) -> Query | None:
    """ "guitar but not bass": a sound, and another to keep out of it."""
    found = re.fullmatch(rf"(?P<wanted>.+?),? {ASIDE} (?P<sound>.+)", words)
    if not found:
        return None
    wanted, unwanted = re.sub(r" (?:only|alone)$", "", _bare(found["wanted"])), _bare(found["sound"])
    if EVERYBODY_ELSE.fullmatch(unwanted):
        return Query(positive=wanted)
    return Query(positive=wanted, negative=unwanted) if _names_instrument(unwanted) else None


def _names_instrument(words: str) -> bool:
    parts = re.findall(r"[\w'-]+", words)
    return any(
        not INSTRUMENTS.isdisjoint((part, part.removesuffix("s"), part.removesuffix("es"))) for part in parts
    )


def _bare(words: str) -> str:
    """Without the articles and "any", "all", "of" in front."""
    return _without(r"(?:the|a|an|any|all|for|of|my|its|those|these|any of|sounds? of)", words).strip(
        ' .!?,;:"'
    )


RESERVED = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)


def slug(prompt: str) -> str:
    """A file-name part for a prompt: "the Drum kit" → "drum-kit".

    Letters and digits of every script are kept (lower case, NFC), whatever stands between
    them becomes one hyphen; at most 60 characters; "stem" if nothing is left.
    """
    words = _without(r"(?:the|sounds? of)", " ".join(prompt.lower().split()))
    letters = (letter if unicodedata.category(letter)[0] in "LNM" else "-" for letter in words)
    name = unicodedata.normalize("NFC", re.sub(r"-+", "-", "".join(letters)).strip("-"))
    name = name[:LONGEST_SLUG].encode()[:LONGEST_SLUG_BYTES].decode(errors="ignore").strip("-")
    return f"{name}-stem" if name in RESERVED else name or "stem"
