"""What people call the instruments: tables only, read by prompt_bank.py.

Own list. Words that name several classes at once ("keys", "synth") are in
UNIONS and in no class.
"""

from __future__ import annotations

TEMPLATES = (
    "{}",
    "the sound of the {}",
    "the sound of {}",
    "the {}",
    "isolated {} track",
    "solo {}",
    "{} stem",
    "just the {}",
    "extract the {}",
    "{} part",
)

# Said of an instrument in passing; each word goes into a few of them.
DESCRIPTIONS = (
    "soft {}",
    "loud {}",
    "funky {}",
    "jazzy {}",
    "distant {}",
    "the {} in the background",
    "a mellow {}",
    "bright {}",
    "the {} solo",
    "dark {}",
    "fast {}",
    "slow {}",
    "high {}",
    "deep {}",
    "punchy {}",
    "airy {}",
    "{} melody",
    "whoever plays the {}",
    "{} notes",
    "vintage {}",
    "the {} that comes in first",
    "warm {}",
    "the main {}",
    "{} with reverb",
    "expressive {}",
    "{} phrases",
    "groovy {}",
    "classical {}",
    "{} performance",
)

SET_TEMPLATES = (
    "{}",
    "the sound of the {}",
    "{} playing together",
    "a band with {}",
    "music with {}",
    "a mix of {}",
    "a song with {}",
)

# Class → its everyday names. The first is the word for "the sound of the {label}".
CLASS_WORDS: dict[str, str] = {
    "drums": "drums; drum kit; drum set; drum track; the beat; beats; drum beat; drum loop; rhythm track; "
    "percussion and drums; kick and snare; kick, snare and hi-hat; kick drum; snare drum; snare; hi-hats; "
    "cymbals; "
    "toms; ride cymbal; breakbeat; drumming; drummer; groove; drum machine; acoustic drums; live drums; "
    "percussion kit; drum fills; rock drums; funky drums; hard-hitting drums",
    "bass": "bass; bass guitar; bassline; bass line; electric bass; low end; bass player; bassist; low bass; "
    "deep bass; bass track; bass groove; the low notes; funky bass; walking bass; sub bass; bass riff",
    "guitar": "guitar; guitars; rhythm guitar; lead guitar; guitar riff; guitar solo; guitar chords; "
    "strummed guitar; "
    "guitar player; guitarist; six-string; guitar strumming; guitar picking; fingerpicked guitar; guitar "
    "licks",
    "piano": "piano; pianos; piano chords; piano melody; pianist; grand piano; piano player; piano comping; "
    "the ivories; piano arpeggios; piano keys",
    "organ": "organ; organs; organ chords; organist; keyboard organ; organ player; pipe organ; hammond "
    "organ; hammond",
    "strings": "strings; string section; orchestral strings; string ensemble; string quartet; violins; "
    "violins and cellos; "
    "bowed strings; string orchestra; violin section; symphonic strings; string arrangement; orchestra "
    "strings",
    "brass": "brass; horns; horn section; brass section; brass instruments; brass band; trumpets; trumpets "
    "and trombones; "
    "horn stabs; funky horns; brass hits; horn line; big band brass",
    "reed": "reed; saxophone; sax; reed instrument; reeds; sax solo; saxophonist; saxophone solo; sax "
    "section; "
    "saxes; sax riff; reed section; clarinet and sax",
    "pipe": "pipe; flute; flutes; pipe instrument; flute melody; flautist; flutist; wooden flute; flute "
    "solo; "
    "flute and recorder; pipes and flutes",
    "chromatic percussion": "chromatic percussion; mallets; mallet percussion; bells; tuned percussion; "
    "pitched percussion; "
    "mallet instruments; chimes; bell sounds; glockenspiel and vibraphone; bell melody; metallophone; vibes "
    "and marimba",
    "synth lead": "synth lead; lead synth; lead synthesizer; synth melody; synth solo; synthesizer lead; "
    "mono synth; "
    "analog lead; synth hook; synth riff; monophonic synth lead; trance lead; moog lead; electronic lead",
    "synth pad": "synth pad; pad; pads; ambient pad; synth pads; pad synth; atmospheric pad; sustained "
    "synth chords; "
    "ambient synth; background pad; lush pad; soft synth pad; evolving pad; synth atmosphere; drone pad; "
    "synth wash",
    "choir": "choir; choirs; choral voices; chorus choir; choir aahs; choir oohs; choral ensemble; backing "
    "aahs; aahs; oohs; "
    "ooh voices; wordless choir; chorale; singing choir; church choir; choir voices; background choir; "
    "gospel choir",
    "vocals": "vocals; vocal; voice; singing; singer; lead vocal; lead vocals; lead singer; the vox; vox; "
    "acapella; "
    "a cappella; sung melody; singing voice; vocalist; vocal track; song vocals; sung lyrics; lyrics; "
    "human voice; the person singing; main vocal; pop vocals; rapper; rap; rapping; vocal melody; topline; "
    "verse vocals",
}

# GM program (0-based) → names; the first is the General MIDI one.
PROGRAM_WORDS: dict[int, str] = {
    0: "acoustic grand piano; grand piano; concert piano; acoustic piano; classical piano; steinway",
    1: "bright acoustic piano; bright piano; upright piano; pop piano",
    2: "electric grand piano; electric grand; cp80",
    3: "honky-tonk piano; honky tonk; ragtime piano; saloon piano; detuned piano",
    4: "electric piano 1; electric piano; rhodes; rhodes piano; fender rhodes; wurlitzer; wurli; e-piano; "
    "tine piano; suitcase piano",
    5: "electric piano 2; fm electric piano; dx7 electric piano; digital piano; fm piano; eighties electric "
    "piano",
    6: "harpsichord; cembalo; baroque harpsichord",
    7: "clavinet; clavi; clav; funky clavinet; clavichord",
    8: "celesta; celeste",
    9: "glockenspiel; glock; orchestra bells",
    10: "music box; musical box; toy box melody",
    11: "vibraphone; vibes; jazz vibraphone",
    12: "marimba; wooden marimba",
    13: "xylophone; wooden xylophone",
    14: "tubular bells; church bells; orchestral chimes; carillon",
    15: "dulcimer; hammered dulcimer; santur; cimbalom",
    16: "drawbar organ; hammond organ; hammond; hammond b3; b3 organ; tonewheel organ; jazz organ",
    17: "percussive organ; percussion organ; organ with percussion",
    18: "rock organ; distorted organ; leslie organ; overdriven hammond; organ with rotary speaker",
    19: "church organ; pipe organ; cathedral organ",
    20: "reed organ; harmonium; pump organ",
    21: "accordion; french accordion; squeezebox",
    22: "harmonica; blues harp; mouth organ; mouth harp",
    23: "tango accordion; bandoneon; concertina",
    24: "nylon acoustic guitar; acoustic guitar; classical guitar; nylon guitar; spanish guitar; nylon "
    "string guitar; flamenco guitar",
    25: "steel acoustic guitar; acoustic guitar; steel string guitar; folk guitar; strummed acoustic "
    "guitar; western guitar",
    26: "jazz electric guitar; jazz guitar; hollow body guitar; electric guitar",
    27: "clean electric guitar; electric guitar; clean guitar; stratocaster; strat; twangy guitar",
    28: "muted electric guitar; muted guitar; palm muted guitar; funk guitar; electric guitar; chicken "
    "picking guitar",
    29: "overdriven guitar; overdrive guitar; crunchy guitar; electric guitar; rock guitar",
    30: "distortion guitar; distorted guitar; heavy guitar; metal guitar; power chords; electric guitar; "
    "shredding guitar; fuzz guitar",
    31: "guitar harmonics; harmonics on guitar; pinch harmonics",
    32: "acoustic bass; upright bass; double bass; jazz bass; standup bass; walking upright bass",
    33: "fingered electric bass; finger bass; electric bass; bass guitar; fingerstyle bass",
    34: "picked electric bass; picked bass; pick bass; bass guitar; punk bass",
    35: "fretless bass; fretless electric bass; fretless bass guitar",
    36: "slap bass 1; slap bass; slap bass guitar; slapped bass; funk slap bass; popping bass",
    37: "slap bass 2; slap bass; thumb bass; slapped bass guitar",
    38: "synth bass 1; synth bass; bass synth; acid bass; analog bass; electronic bass; moog bass; 303 bass",
    39: "synth bass 2; synth bass; sub bass; 808 bass; dubstep bass; fat synth bass; reese bass; 808 sub",
    40: "violin; solo violin; violinist",
    41: "viola; solo viola",
    42: "cello; violoncello; solo cello; cellist; cellos",
    43: "contrabass; bowed double bass; orchestral double basses; arco bass",
    44: "tremolo strings; string tremolo; trembling strings",
    45: "pizzicato strings; pizzicato; plucked strings; pizzicato violins",
    46: "orchestral harp; harp; harpist; concert harp; harp glissando",
    47: "timpani; kettledrums; kettle drums; orchestral timpani",
    48: "string ensemble 1; string ensemble; string section; orchestral strings; full strings; violins",
    49: "string ensemble 2; slow strings; legato strings; slow string ensemble; lush strings",
    50: "synth strings 1; synth strings; synthetic strings; string synthesizer; string machine; solina "
    "strings",
    51: "synth strings 2; synth strings; analog strings; electronic strings; disco strings",
    52: "choir aahs; aah choir; choir singing aah; mixed choir; choral aahs; backing ahhs",
    53: "voice oohs; ooh voices; oohs; humming choir; backing oohs; doo voices",
    54: "synth voice; synth choir; electronic choir; vocoder choir; synthetic voices; mellotron choir",
    55: "orchestra hit; orchestral hit; orchestral stab",
    56: "trumpet; solo trumpet; trumpeter; jazz trumpet",
    57: "trombone; trombones; solo trombone",
    58: "tuba; sousaphone",
    59: "muted trumpet; harmon mute trumpet; trumpet with mute",
    60: "french horn; french horns; horns; orchestral horn",
    61: "brass section; brass ensemble; horn section; big band brass",
    62: "synth brass 1; synth brass; synthesizer brass; analog brass; jump brass",
    63: "synth brass 2; synth brass; soft synth brass; eighties synth brass",
    64: "soprano sax; soprano saxophone; saxophone",
    65: "alto sax; alto saxophone; saxophone; sax",
    66: "tenor sax; tenor saxophone; saxophone; sax; smoky tenor sax",
    67: "baritone sax; baritone saxophone; bari sax; saxophone",
    68: "oboe; oboist; solo oboe",
    69: "english horn; cor anglais",
    70: "bassoon; bassoonist; contrabassoon",
    71: "clarinet; clarinets; bass clarinet; solo clarinet",
    72: "piccolo; piccolo flute",
    73: "flute; concert flute; transverse flute; solo flute; silver flute",
    74: "recorder; blockflute; wooden recorder",
    75: "pan flute; panpipes; pan pipes; zampona",
    76: "blown bottle; bottle blow; blowing on a bottle",
    77: "shakuhachi; bamboo flute; japanese flute",
    78: "whistle; tin whistle; whistling; penny whistle; irish whistle",
    79: "ocarina; clay ocarina; vessel flute",
    80: "square wave lead; square lead; chiptune lead; square wave synth; 8-bit lead; chip lead; video game "
    "synth",
    81: "sawtooth lead; saw lead; sawtooth synth; saw wave synth lead; supersaw lead; trance lead; supersaw",
    82: "calliope lead; calliope; calliope synth",
    83: "chiff lead; chiffer lead; breathy synth lead",
    84: "charang lead; charang; guitar-like synth lead; distorted synth lead",
    85: "voice lead; solo vox lead; synth voice lead",
    86: "fifths lead; fifth saw wave lead; parallel fifths synth",
    87: "bass and lead; bass lead synth; fat lead synth",
    88: "new age pad; fantasia pad; bell pad; dreamy pad",
    89: "warm pad; analog pad; soft warm pad",
    90: "polysynth pad; polysynth; poly synth chords; polyphonic synth",
    91: "choir pad; space voice pad; vocal pad",
    92: "bowed pad; bowed glass pad; glass pad; singing bowl pad",
    93: "metallic pad; metal pad; shimmering pad",
    94: "halo pad; angelic pad; airy pad",
    95: "sweep pad; filter sweep pad; sweeping synth pad",
    96: "rain effect; ice rain synth; fx rain pad",
    97: "soundtrack effect; soundtrack pad; cinematic pad",
    98: "crystal effect; crystal synth; crystal bells",
    99: "atmosphere effect; atmosphere pad; atmospheric synth",
    100: "brightness effect; bright synth pad",
    101: "goblins effect; goblin synth; eerie synth",
    102: "echoes effect; echo drops; echoing synth",
    103: "sci-fi effect; star theme; science fiction synth",
    104: "sitar; indian sitar",
    105: "banjo; bluegrass banjo; five-string banjo",
    106: "shamisen; japanese shamisen",
    107: "koto; japanese koto",
    108: "kalimba; thumb piano; mbira",
    109: "bagpipe; bagpipes; scottish bagpipes",
    110: "fiddle; folk fiddle; irish fiddle; country fiddle",
    111: "shanai; shehnai; zurna",
    112: "tinkle bell; tinkling bell; hand bell; sleigh bells",
    113: "agogo; agogo bell; cowbell",
    114: "steel drums; steel pan; steelpan; caribbean steel drums",
    115: "woodblock; wood block; temple blocks",
    116: "taiko drum; taiko; japanese drums",
    117: "melodic tom; tom-toms; rototoms",
    118: "synth drum; electronic tom; simmons drums",
    119: "reverse cymbal; reversed cymbal; cymbal swell",
    120: "guitar fret noise; fret squeak; string squeak",
    121: "breath noise; breathing",
    122: "seashore; ocean waves; sea sound",
    123: "bird tweet; birdsong; birds",
    124: "telephone ring; phone ringing; telephone",
    125: "helicopter; chopper noise",
    126: "applause; clapping audience; crowd cheering",
    127: "gunshot; gun shot; shooting",
}

# Drum kit program → names.
KIT_WORDS: dict[int, str] = {
    0: "standard drum kit; acoustic drum kit; drum kit; studio drums; acoustic drums",
    8: "room drum kit; room drums; roomy drums; drums with room sound",
    16: "power drum kit; power rock drum kit; rock drums; heavy drums; metal drums; arena drums",
    24: "electronic drum kit; electronic drums; electro drums; programmed drums; edm drums; house beat",
    25: "808 drum machine; 808 drums; tr-808; 808 beat; trap drums; hip hop drums; 808 kit; roland drum "
    "machine; drum machine",
    26: "dance drum kit; techno drums; 909 drums; club beat; tr-909",
    32: "jazz drum kit; jazz drums; swing drums; ride and brushes",
    40: "brush drum kit; brushed drums; brushes on snare; drums played with brushes",
    48: "orchestral percussion; orchestra kit; concert bass drum and snare; marching drums; cinematic "
    "percussion",
    56: "sound effects kit; sfx kit",
}

# Kinds of a recorded class that no program names.
KIND_WORDS: dict[tuple[str, str], str] = {
    ("vocals", "female"): "female vocals; female voice; female singer; woman singing; soprano voice; her "
    "voice; female lead vocal; girl singing; alto singer",
    ("vocals", "male"): "male vocals; male voice; male singer; man singing; tenor voice; baritone voice; "
    "his voice; male lead vocal; crooner",
    ("vocals", "rap"): "rap; rapper; rapping; rap vocals; hip hop vocals; mc; spoken rhymes; emcee",
    ("vocals", "speech"): "speech; spoken word; speaking voice; talking; narration; speaker; dialogue; "
    "someone talking",
    ("vocals", "backing"): "backing vocals; background vocals; harmony vocals; vocal harmonies; backing "
    "singers; backup vocals",
    ("vocals", "child"): "child singing; children's voices; kids singing; boy soprano",
    ("drums", "percussion"): "percussion; hand percussion; congas; bongos; shaker; tambourine; hand drums; "
    "djembe; cajon; tabla; "
    "claps; handclaps; latin percussion; conga drums; maracas; timbales; cabasa; percussion loop",
    ("drums", "kick"): "kick drum; kick; bass drum; kick only; four on the floor kick",
    ("drums", "snare"): "snare drum; snare; snare hits; rimshot; clap and snare",
    ("drums", "hats"): "hi-hat; hi-hats; hihat; cymbals; ride cymbal; crash cymbal; hats",
    ("drums", "toms"): "toms; tom drums; floor tom; tom-toms",
}

# Word → the classes it covers; a stem for it is the sum of theirs.
UNIONS: dict[str, tuple[str, ...]] = {
    "keys; keyboard; keyboards; keyboard player; keyboard section": (
        "piano",
        "organ",
        "synth lead",
        "synth pad",
    ),
    "piano and organ; acoustic keyboards": ("piano", "organ"),
    "woodwind; woodwinds; woodwind section; woodwind instruments": ("reed", "pipe"),
    "winds; wind instruments; wind section; wind band; blown instruments": ("brass", "reed", "pipe"),
    "synth; synths; synthesizer; synthesizers; electronic synth; analog synth; synth sounds; electronics": (
        "synth lead",
        "synth pad",
    ),
    "rhythm section; drums and bass; bass and drums; the groove section": ("drums", "bass"),
    "rhythm section with guitar; drums, bass and guitar; power trio": ("drums", "bass", "guitar"),
    "horns and strings; strings and horns; strings and brass; brass and strings": ("strings", "brass"),
    "horns and saxes; horn section with sax; brass and sax; sax and trumpet; big band horns": (
        "brass",
        "reed",
    ),
    "voices; all voices; all vocals; vocals and choir; lead and backing voices; everyone singing": (
        "vocals",
        "choir",
    ),
    "all percussion; drums and mallets; everything percussive; drums and tuned percussion": (
        "drums",
        "chromatic percussion",
    ),
    "orchestra; orchestral section; symphony orchestra; full orchestra; orchestral instruments": (
        "strings",
        "brass",
        "reed",
        "pipe",
    ),
    "guitars and bass; bass and guitars; guitar and bass; plucked strings section": ("guitar", "bass"),
    "guitar and piano; piano and guitar": ("guitar", "piano"),
    "guitar and vocals; voice and guitar; singer with guitar": ("guitar", "vocals"),
    "piano and vocals; voice and piano; singer with piano": ("piano", "vocals"),
    "pads and strings; strings and pads; string pads": ("strings", "synth pad"),
    "pads and choir; choir and pad": ("synth pad", "choir"),
    "chords; harmony; chordal instruments; harmonic instruments; accompaniment chords": (
        "guitar",
        "piano",
        "organ",
        "synth pad",
    ),
    "flute and sax; sax and flute": ("reed", "pipe"),
    "bells and keys; mallets and piano": ("chromatic percussion", "piano"),
}
