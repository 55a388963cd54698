// A request to Stemwright, and what came of it. ChucK takes one public class a file; see Stemwright.ck.

public class StemwrightJob {
    string id, state, code, text; // state: asked queued running finished failed cancelled
    float progress;
    Event ended;
    string kinds[0], paths[0];
    string _keys[0], _texts[0], _types[0], _task;
    float _numbers[0];
    time _asked;
    0 => int _count;

    // Options of the server's protocol, before `send`.
    fun StemwrightJob with(string key, string value) { return _with(key, value, 0, "s"); }
    fun StemwrightJob with(string key, int value) { return _with(key, "", value, "i"); }
    fun StemwrightJob with(string key, float value) { return _with(key, "", value, "f"); }

    fun StemwrightJob _with(string key, string text, float number, string type) {
        _keys << key;
        _texts << text;
        _numbers << number;
        _types << type;
        return this;
    }

    // The file of a stem: of its prompt's name, or "rest"; empty while it is not there.
    fun string path(string kind) { return path(kind, 0); }
    fun string path(string kind, int variation) {
        0 => int seen;
        for (0 => int i; i < kinds.size(); i++) {
            if (kinds[i] == kind) {
                if (seen == variation) return paths[i];
                seen++;
            }
        }
        return "";
    }

    fun int isDone() { return state == "finished" || state == "failed" || state == "cancelled"; }

    fun void _end(string newState) {
        if (isDone()) return;
        newState => state;
        ended.broadcast();
    }
}
