// One request, from its words to the Buffers of its stems. Made by Stemwright.
//  state     \preparing \asked \queued \running \loading \finished \failed \cancelled
//  results   Events (kind:, path:, seconds:, seed:, buffer:)
//  beat      of the clock, where the region began; nil for files. beats: its length
StemwrightJob {
	var <owner, <id, <task, <state = \preparing, <progress = 0, <stage, <code, <text;
	var <results, <beat, <beats, <tempo;
	var <>onProgress, <>onResult, <>onEnd; // each gets the job
	var words, request, sent, count = 0, temporary, players, onCaptured, hasEnded = false;

	*new { |owner, task, prompt, options, action| ^super.new.init(owner, task, prompt, options, action) }

	init { |anOwner, aTask, prompt, options, action|
		owner = anOwner;
		task = aTask;
		id = Stemwright.newId;
		results = Array.new;
		players = IdentityDictionary.new;
		onEnd = action;
		if(prompt.isString or: { prompt.isKindOf(Symbol) }) { prompt = [prompt] };
		words = prompt.asArray.collect { |one| ["prompt", one.asString] }.flatten(1);
		words = words ++ options.asArray.collect { |one, i|
			case
			{ i.even } { one.asString }
			{ one.isKindOf(Boolean) } { one.binaryValue }
			{ one.isKindOf(Symbol) } { one.asString }
			{ one };
		};
		tempo = owner.clock.tempo;
	}

	isDone { ^#[\finished, \failed, \cancelled].includes(state) }

	cancel {
		if(this.isDone.not) {
			if(request.isNil) { this.prEnd(\cancelled) } { owner.send(\cancel, id) }
		}
	}

	// The Buffer of a stem; kind nil: the first that is not the rest.
	buffer { |kind, variation = 0|
		var found = this.prFound(kind)[variation];
		^found !? { found[\buffer] }
	}
	path { |kind, variation = 0|
		var found = this.prFound(kind)[variation];
		^found !? { found[\path] }
	}
	kinds { ^results.collect(_[\kind]).asSet.asArray.sort }
	variations { |kind| ^this.prFound(kind).size }

	// Play a stem from the next bar line on, at the place in its phrase that belongs there, again and again.
	//  from  a bar line of your own choice, in beats of the clock
	play { |kind, variation = 0, out = 0, amp = 1, loops = inf, from|
		var buffer = this.buffer(kind, variation);
		var clock = owner.clock;
		var start = from ?? { clock.nextBar };
		var length, at, player, key = (kind ? \stem).asSymbol;
		if(buffer.isNil) { "Stemwright: no % of % is here (%)".format(kind ? "stem", id, state).warn; ^this };
		length = beats ?? { buffer.duration * clock.tempo };
		if(beat.isNil) { beat = start };
		at = (start - beat) % length;
		this.stop(key);
		player = (synth: nil);
		player[\routine] = Routine {
			var left = loops;
			while { left > 0 } {
				var place = at;
				owner.server.makeBundle(owner.server.latency, {
					player[\synth] = Synth("stemwright_play" ++ buffer.numChannels, [
						buf: buffer, out: out, amp: amp, seconds: (length - place) / clock.tempo,
						start: place / tempo * buffer.sampleRate, rate: clock.tempo / tempo
					], owner.server);
				});
				(length - place).wait;
				at = 0;
				left = left - 1;
			}
		};
		players[key] = player;
		clock.schedAbs(start, player[\routine]);
	}

	// At once; kind nil: all of them.
	stop { |kind|
		if(kind.isNil) { players.keys.copy.do { |one| this.stop(one) }; ^this };
		players.removeAt(kind.asSymbol) !? { |player|
			player[\routine].stop;
			player[\synth] !? { |synth| owner.server.makeBundle(owner.server.latency, { synth.set(\gate, 0) }) };
		};
	}

	free {
		this.stop;
		results.do { |one| one[\buffer] !? { |buffer| buffer.free } };
		owner.jobs.removeAt(id.asSymbol);
	}

	printOn { |stream| stream << "a StemwrightJob(" << id << ", " << task << ", " << state << ")" }

	prFound { |kind|
		kind = (kind ?? { (results.detect { |one| one[\kind] != \rest } ?? { () })[\kind] }).asSymbol;
		^results.select { |one| one[\kind] == kind }
	}

	prPlace { |aBeat, someBeats, aTempo| beat = aBeat; beats = someBeats; tempo = aTempo }
	prTemporary { |path| temporary = temporary.add(path) }

	prSubmit { |source|
		if(this.isDone) { this.prClean; ^this }; // cancelled meanwhile
		request = [id] ++ source ++ words;
		state = \asked;
		this.prSend;
	}

	prSend {
		sent = Main.elapsedTime;
		count = count + 1;
		owner.send(task, *request);
	}

	// A request without an answer is sent again; a job that is silent is asked after.
	prTick { |now|
		if(sent.isNil or: { this.isDone } or: { now - sent < Stemwright.patience }) { ^this };
		if(count >= Stemwright.tries) { ^this.prFail(\no_server, owner.noServer) };
		if(state == \asked) { this.prSend } {
			sent = now;
			count = count + 1;
			owner.send(\job, id);
		}
	}

	prHear { |name, arguments|
		if(this.isDone) { ^this };
		sent = Main.elapsedTime;
		count = 0;
		switch(name,
			\accepted, { if(state == \asked) { state = \queued } },
			'job.reply', { if(state == \asked) { state = \queued } },
			\progress, {
				state = \running;
				progress = arguments[0];
				stage = arguments[1];
				onProgress.value(this);
			},
			\result, { this.prResult(*arguments) },
			\finished, { this.prLoad },
			\cancelled, { this.prEnd(\cancelled) }
		)
	}

	prResult { |index, total, kind, path, seconds, seed|
		if(results.any { |one| one[\index] == index }) { ^this }; // told again
		results = results.add((index: index, kind: kind, path: path.asString, seconds: seconds, seed: seed));
	}

	prLoad {
		if(state == \loading) { ^this };
		state = \loading;
		if(owner.server.serverRunning.not) { // stems stay files then
			text = "% does not run, so the stems are files only: see results".format(owner.server);
			^this.prEnd(\finished)
		};
		{
			results.do { |one| one[\buffer] = Buffer.read(owner.server, one[\path]) };
			owner.server.sync;
			results.do { |one| one[\buffer].updateInfo };
			owner.server.sync;
			results.collect { |one| one[\buffer].numChannels }.asSet.do { |n| this.prSynthDef(n) };
			owner.server.sync;
			results.do { |one| onResult.value(this, one) };
			this.prEnd(\finished);
		}.fork(AppClock)
	}

	prCmdPeriod {
		players.clear;
		if(state == \preparing) { this.prFail(\cancelled, "stopped by CmdPeriod before it was asked for") };
		if(state == \loading) { state = \running; this.prLoad };
	}

	// Ask for the input's last seconds, at a time; then for the part of them between the bar lines.
	prCapture { |seconds, delay, margin, listener, bars|
		var capture = id ++ ".in";
		var length = seconds + (2 * margin);
		if(this.isDone) { ^this };
		onCaptured = { |path, heard, rate|
			{
				var own = owner.prPath(id ++ "-own");
				var start = margin;
				if(listener.notNil) {
					this.prTemporary(own);
					listener.write(bars, own, { }, beat) !? { start = this.prFind(own, path.asString, margin) };
				};
				this.prSubmit(["capture", capture, "start", start, "seconds", seconds]);
			}.fork(AppClock)
		};
		owner.addr.sendBundle(delay + margin, ["/stemwright/capture", capture, length]);
		SystemClock.sched(delay + margin + (2 * Stemwright.patience), {
			if(state == \preparing and: { onCaptured.notNil }) { this.prFail(\no_server, owner.noServer) };
			nil
		});
	}

	prCaptureRefused { |aCode, someText|
		if(onCaptured.notNil and: { state == \preparing }) { this.prFail(aCode, someText) }
	}

	prCaptured { |path, seconds, rate|
		var then = onCaptured;
		onCaptured = nil;
		if(this.isDone.not) { then.value(path, seconds, rate) };
	}

	// Where in a file (seconds, up to twice the margin) the sound of another begins: where they are most alike.
	prFind { |own, path, margin|
		var wanted = this.prMono(own, 65536), given, size, table, spectrum, alike, energy, best, lags;
		var rate = wanted[1];
		given = this.prMono(path, wanted[0].size + (2 * margin * rate).asInteger);
		lags = given[0].size - wanted[0].size;
		if(given[1] != rate or: { lags < 1 }) { ^margin };
		size = given[0].size.nextPowerOfTwo;
		table = Signal.fftCosTable(size);
		spectrum = [wanted, given].collect { |one|
			one[0].copy.addAll(Signal.newClear(size - one[0].size)).as(Signal).fft(Signal.newClear(size), table)
		};
		alike = spectrum[0].conjugate * spectrum[1];
		alike = alike.real.ifft(alike.imag, table).real;
		energy = given[0].squared.integrate;
		lags = (0..lags - 1).collect { |lag|
			alike[lag] / (energy[lag + wanted[0].size - 1] - energy[lag]).max(1e-9).sqrt
		};
		best = lags.maxIndex;
		if(lags[best] < (0.5 * wanted[0].squared.sum.sqrt)) { ^margin }; // another sound
		^best / rate
	}

	prMono { |path, frames|
		var file = SoundFile.openRead(path), data = FloatArray.newClear(frames.min(file.numFrames) * file.numChannels);
		file.readData(data);
		file.close;
		^[data.as(Array).clump(file.numChannels).collect(_.sum).as(Signal), file.sampleRate]
	}

	prRefuse { |aCode, someText|
		if(aCode == \busy and: { count < Stemwright.tries }) { ^this }; // asked again by prTick
		this.prFail(aCode, someText);
	}

	prFail { |aCode, someText|
		if(this.isDone) { ^this };
		code = aCode.asSymbol;
		text = someText;
		"Stemwright: %".format(text).warn;
		this.prEnd(\failed);
	}

	prEnd { |aState|
		if(hasEnded) { ^this };
		hasEnded = true;
		state = aState;
		if(state == \finished) { progress = 1 };
		this.prClean;
		onEnd.value(this);
	}

	prClean { temporary.do { |path| File.delete(path) }; temporary = nil }

	prSynthDef { |channels|
		SynthDef("stemwright_play" ++ channels, { |buf, out = 0, amp = 1, start = 0, rate = 1, seconds = 1, gate = 1|
			var fade = 0.004; // one pass fades out while the next one fades in
			var sound = PlayBuf.ar(channels, buf, BufRateScale.kr(buf) * rate, startPos: start);
			var pass = EnvGen.ar(Env([0, 1, 1, 0], [fade, seconds - fade, fade]), doneAction: 2);
			var until = EnvGen.kr(Env.asr(0, 1, 0.03), gate, doneAction: 2);
			Out.ar(out, sound * pass * until * amp); // begins where the bar marks lie: on a block
		}).send(owner.server);
	}
}
