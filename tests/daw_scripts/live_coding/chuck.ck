// A session with the class; lines for pytest to read. A loop on the left, from its second bar on the stem right.
Std.getenv("STEMWRIGHT_SONG") => string song;
Std.getenv("STEMWRIGHT_BAR") => string bar;

fun void say(string key, string a, string b) {
    chout <= "said:\t" <= key <= "\t" <= a <= "\t" <= b <= IO.newline();
    chout.flush();
}

Stemwright stemwright;
stemwright.connect(Std.atoi(Std.getenv("STEMWRIGHT_PORT")), Std.atoi(Std.getenv("STEMWRIGHT_REPLY_PORT")));
while (!stemwright.isKnown) 50::ms => now;

fun void loop(SndBuf sound, int bars) {
    for (0 => int i; i < bars; i++) {
        0 => sound.pos;
        2::second => now;
    }
}

stemwright.ask("extract", song, "bass") @=> StemwrightJob job;
job.ended => now;
say("song", job.state, job.code);
say("stems", job.path("bass"), job.path("rest"));

stemwright.send(stemwright.job("extract").with("path", song).with("preset", "bass")
    .with("variations", 2).with("guidance", 1.5)) @=> StemwrightJob two;
two.ended => now;
say("variations", two.path("bass", 0), two.path("bass", 1));

stemwright.send(stemwright.job("extract").with("path", song).with("promt", "bass")) @=> StemwrightJob typo;
typo.ended => now;
say("typo", typo.code, typo.text);

stemwright.send(stemwright.job("extract").with("path", song).with("prompt", "bass")
    .with("steps", 1000).with("variations", 16)) @=> StemwrightJob long;
while (long.state != "running") 20::ms => now;
stemwright.cancel(long);
long.ended => now;
say("long", long.state, "");

// in time
SndBuf left => dac.left;
SndBuf right => dac.right;
dac => WvOut2 record => blackhole;
Std.getenv("STEMWRIGHT_OUT") + "/record.wav" => record.wavFilename;
bar => left.read;
now => time begin;
spork ~ loop(left, 1000);
stemwright.ask("extract", bar, "bass") @=> StemwrightJob inTime;
inTime.ended => now;
inTime.path("bass") => right.read;
right.samples() => right.pos; // silent until the bar line
say("in time", inTime.path("bass"), inTime.state);
stemwright.nextBar(begin, 2::second);
loop(right, 2);
record.closeFile();
say("ends", "", "");
