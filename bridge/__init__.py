"""The bridge: OSC, MIDI and live audio in front of the engine."""

if __name__ != "stemwright.bridge":
    raise ImportError("import it as stemwright.bridge: the bare folder name collides with other packages")
