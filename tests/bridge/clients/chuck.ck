// Stemwright from ChucK. OscOut cannot hear: name a port for the answers, and let OscIn listen there.
//
//   STEMWRIGHT_SONG=$PWD/song.wav chuck chuck.ck

fun int number(string name, int otherwise) {
    if (Std.getenv(name) == "") return otherwise;
    return Std.atoi(Std.getenv(name));
}

number("STEMWRIGHT_PORT", 7836) => int port;
number("STEMWRIGHT_REPLY_PORT", 7838) => int replyPort;
Std.getenv("STEMWRIGHT_SONG") => string song;

OscOut stemwright;
stemwright.dest("127.0.0.1", port);
OscIn inbox;
OscMsg message;
replyPort => inbox.port;
inbox.listenAll();

fun string written(OscMsg one) {
    one.address => string line;
    for (0 => int i; i < one.numArgs(); i++) {
        if (one.typetag.charAt(i) == 's') line + "\t" + one.getString(i) => line;
        if (one.typetag.charAt(i) == 'i') line + "\t" + one.getInt(i) => line;
        if (one.typetag.charAt(i) == 'f') line + "\t" + one.getFloat(i) => line;
    }
    return line;
}

fun void extract(string job, string option) {
    stemwright.start("/stemwright/extract").add(job).add(option).add("bass").add("path").add(song).send();
}

fun void extractSlowly(string job) {
    stemwright.start("/stemwright/extract").add(job).add("prompt").add("bass").add("path").add(song);
    stemwright.add("steps").add(1000).add("variations").add(16).send();
}

0 => int isKnown;
0 => int isStopping;

// OscIn does not say when it listens, so ask again until the answer is heard.
// The lease lasts 60 seconds; a longer session asks once more in time.
fun void introduce() {
    while (!isKnown) {
        stemwright.start("/stemwright/notify").add(1).add(replyPort).send();
        200::ms => now;
    }
}
spork ~ introduce();

while (true) {
    inbox => now;
    while (inbox.recv(message)) {
        chout <= written(message) <= IO.newline();
        chout.flush();
        if (message.address == "/stemwright/done" && !isKnown) {
            1 => isKnown;
            extract("chuck-bass", "prompt");
        }
        if (message.address == "/stemwright/finished")
            extract("chuck-typo", "promt"); // a mistake: there is no such option
        if (message.address == "/stemwright/fail") {
            if (message.getString(3) != "chuck-typo") me.exit();
            extractSlowly("chuck-long"); // long enough to change one's mind
        }
        if (message.address == "/stemwright/progress" && message.getString(0) == "chuck-long" && !isStopping) {
            1 => isStopping;
            stemwright.start("/stemwright/cancel").add("chuck-long").send();
        }
        if (message.address == "/stemwright/cancelled")
            me.exit();
    }
}
