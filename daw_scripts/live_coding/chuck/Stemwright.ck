// Stemwright for ChucK: add its two files before your own.
//
//   chuck StemwrightJob.ck Stemwright.ck yours.ck
//
//   Stemwright stemwright;
//   stemwright.connect(7836, 7838);                    // the server's port, and one of yours for the answers
//   stemwright.ask("extract", "/music/song.wav", "bass") @=> StemwrightJob job;
//   job.ended => now;                                  // or work on, and look at job.state
//   SndBuf bass => dac;
//   job.path("bass") => bass.read;
//
// OscOut cannot hear, so the server is told a port where OscIn listens; that lease is renewed.

public class Stemwright {
    OscOut _out;
    OscIn _in;
    StemwrightJob @ _jobs[0];
    StemwrightJob @ _all[0];
    0 => int isKnown; // the server has answered
    int _replyPort, _port;
    0 => int _count;

    fun void connect(int port, int replyPort) {
        port => _port;
        replyPort => _replyPort;
        _out.dest("127.0.0.1", port);
        replyPort => _in.port;
        _in.listenAll();
        spork ~ _hear();
        spork ~ _renew();
    }

    // A job, not yet sent: add options by `with`, then `send` it.
    fun StemwrightJob job(string task) {
        StemwrightJob made;
        _count++;
        "chuck-" + Math.random2(0, 999999999) + "-" + _count => made.id;
        task => made._task;
        "asked" => made.state;
        return made;
    }

    fun StemwrightJob send(StemwrightJob one) {
        one @=> _jobs[one.id];
        _all << one;
        _send(one);
        return one;
    }

    // Ask at once: task extract, add or accompany.
    fun StemwrightJob ask(string task, string path, string prompt) {
        return send(job(task).with("path", path).with("prompt", prompt));
    }

    // The last seconds of what the server's live input heard (stemwright serve --input).
    fun StemwrightJob last(float seconds, string prompt) {
        return send(job("extract").with("last", seconds).with("prompt", prompt));
    }

    fun void cancel(StemwrightJob one) {
        _out.start("/stemwright/cancel").add(one.id).send();
    }

    // Until the next bar line: bars are counted from `begin` on.
    fun void nextBar(time begin, dur bar) {
        bar - ((now - begin) % bar) => now;
    }

    fun void _send(StemwrightJob one) {
        now => one._asked;
        one._count++;
        _out.start("/stemwright/" + one._task).add(one.id);
        for (0 => int i; i < one._keys.size(); i++) {
            _out.add(one._keys[i]);
            if (one._types[i] == "s") _out.add(one._texts[i]);
            if (one._types[i] == "i") _out.add(one._numbers[i] $ int);
            if (one._types[i] == "f") _out.add(one._numbers[i]);
        }
        _out.send();
    }

    // OscIn does not say when it listens, and UDP may lose a message: so ask again.
    fun void _renew() {
        0 => int waits;
        while (true) {
            if (!isKnown || waits % 40 == 0)
                _out.start("/stemwright/notify").add(1).add(_replyPort).send();
            if (!isKnown && waits == 8)
                chout <= "Stemwright: no answer on port " <= _port
                      <= "; start it in a terminal: stemwright serve" <= IO.newline();
            for (0 => int i; i < _all.size(); i++) {
                _all[i] @=> StemwrightJob one;
                if (!one.isDone() && now - one._asked > 2::second) {
                    now => one._asked;
                    if (one.state == "asked") _send(one);
                    else _out.start("/stemwright/job").add(one.id).send();
                }
            }
            waits++;
            500::ms => now;
        }
    }

    fun void _hear() {
        OscMsg message;
        while (true) {
            _in => now;
            while (_in.recv(message)) _take(message);
        }
    }

    fun void _take(OscMsg message) {
        message.address => string address;
        if (address == "/stemwright/done" || address == "/stemwright/pong") 1 => isKnown;
        if (address == "/stemwright/startup")
            _out.start("/stemwright/notify").add(1).add(_replyPort).send();
        0 => int place;
        if (address == "/stemwright/fail") 3 => place;
        if (message.numArgs() <= place || message.typetag.charAt(place) != 's') return;
        _jobs[message.getString(place)] @=> StemwrightJob one;
        if (one == null) {
            if (address == "/stemwright/fail")
                chout <= "Stemwright: " <= message.getString(2) <= IO.newline();
            return;
        }
        now => one._asked;
        if (address == "/stemwright/accepted" && one.state == "asked") "queued" => one.state;
        if (address == "/stemwright/progress" && !one.isDone()) {
            "running" => one.state;
            message.getFloat(1) => one.progress;
        }
        if (address == "/stemwright/result" && message.getInt(1) == one.kinds.size()) { // told again: not again
            one.kinds << message.getString(3);
            one.paths << message.getString(4);
        }
        if (address == "/stemwright/finished") one._end("finished");
        if (address == "/stemwright/cancelled") one._end("cancelled");
        if (address == "/stemwright/fail") {
            message.getString(1) => one.code;
            message.getString(2) => one.text;
            one._end("failed");
        }
    }
}
