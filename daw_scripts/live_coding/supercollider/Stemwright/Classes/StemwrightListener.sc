// The last seconds of a bus in a ring on scsynth, with a mark at every bar line. Made by Stemwright:listen.
StemwrightListener {
	var <server, <clock, <bus, <channels, <seconds, <buffer, <marks;
	var synth, marker, responder, isFreed = false;

	*new { |server, clock, bus, channels, seconds|
		^super.newCopyArgs(server, clock, bus, channels, seconds).init
	}

	init {
		if(seconds > 300) { "Stemwright: 300 s of a bus are kept, not %".format(seconds).warn; seconds = 300 };
		responder = OSCFunc({ |message|
			if(synth.notNil and: { message[1] == synth.nodeID }) { this.prMark(message[3].asInteger, message[4]) }
		}, '/stemwright_mark', server.addr).permanent_(true);
		CmdPeriod.add(this);
		this.prStart;
	}

	free {
		isFreed = true;
		CmdPeriod.remove(this);
		responder.free;
		marker.stop;
		synth !? { synth.free };
		buffer !? { buffer.free };
	}

	cmdPeriod { { this.prStart }.defer(0.3) } // all synths are gone by then

	bars { // whole bars that can be had now
		^this.prPast.size.max(1) - 1
	}

	// Write the last whole bars into a file; waits, so inside a Routine on AppClock.
	//  from  the beat they shall begin at; nil: so that they end at the last bar line
	// → (beat:, beats:, tempo:) of them; nil after `no` got a text that says why not
	write { |bars, path, no, from|
		var past = this.prPast, length = bars * clock.beatsPerBar, begin, end, measured, frames, part, copy;
		if(server.serverRunning.not) { no.value("% does not run; boot it".format(server)); ^nil };
		begin = from ?? { if(past.isEmpty) { 0 } { past.last[\beat] - length } };
		begin = past.detect { |mark| (mark[\beat] - begin).abs < 0.01 };
		end = begin !? { past.detect { |mark| (mark[\beat] - begin[\beat] - length).abs < 0.01 } };
		if(end.isNil) {
			no.value("% whole bars were heard so far, % are asked for; wait, or x.listen with more seconds"
				.format(this.bars, bars));
			^nil
		};
		measured = (end[\frame] - begin[\frame]) % buffer.numFrames;
		frames = (length / begin[\tempo] * server.sampleRate).round.asInteger;
		if(begin[\tempo] != end[\tempo]) { frames = measured }; // marks jitter, so only then
		((frames - measured).max(0) / server.sampleRate + 0.02).wait; // all of it is heard; seconds, on AppClock
		copy = Buffer.alloc(server, frames, channels);
		server.sync;
		part = frames.min(buffer.numFrames - begin[\frame]);
		buffer.copyData(copy, 0, begin[\frame], part);
		if(part < frames) { buffer.copyData(copy, part, 0, frames - part) };
		server.sync;
		copy.write(path, "wav", "float");
		server.sync;
		copy.free;
		^(beat: begin[\beat], beats: length, tempo: length * server.sampleRate / frames)
	}

	prPast { // marks whose sound is still in the ring
		var oldest = Main.elapsedTime - seconds + 1;
		marks = marks.select { |mark| mark[\time] > oldest };
		^marks
	}

	prMark { |frame, beat| marks = marks.add((frame: frame, beat: beat, tempo: clock.tempo, time: Main.elapsedTime)) }

	prStart {
		marker !? { marker.stop };
		marks = [];
		if(isFreed) { ^this };
		server.doWhenBooted {
			fork {
				SynthDef("stemwright_listen" ++ channels, { |bus, buf, t_mark = 0, beat = 0|
					var place = Phasor.ar(0, 1, 0, BufFrames.kr(buf));
					BufWr.ar(In.ar(bus, channels), buf, place);
					SendReply.kr(t_mark, '/stemwright_mark', [A2K.kr(place), beat]);
				}).send(server);
				buffer = buffer ?? { Buffer.alloc(server, (seconds * server.sampleRate).asInteger, channels) };
				server.sync;
				if(isFreed.not) {
					synth = Synth.tail(RootNode(server), "stemwright_listen" ++ channels, [bus: bus, buf: buffer]);
					server.sync;
					marker = Routine {
						loop {
							server.makeBundle(server.latency, { synth.set(\t_mark, 1, \beat, clock.beats) });
							clock.beatsPerBar.wait;
						}
					};
					clock.schedAbs(clock.nextBar, marker);
				}
			}
		}
	}
}
