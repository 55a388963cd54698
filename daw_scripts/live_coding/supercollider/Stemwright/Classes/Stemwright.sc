// A client of `stemwright serve`: what a bus plays, a Buffer or a file goes there, stems come back in Buffers.
// Nothing here waits: every answer arrives by OSCFunc, everything slow on scsynth runs in a Routine.

Stemwright {
	classvar <>patience = 2; // seconds until a request without an answer is sent again
	classvar <>tries = 4; // then the server is taken to be gone
	classvar <all, counter = 0;

	var <addr, <server, <clock, <>folder; // folder: for files on their way; both servers must reach it
	var <jobs, <listener, <isNotified = false, <lease = 60;
	var <>onEvent, <>onStartup; // functions: (address, arguments), ()
	var responders, ticker, asked, rows, notifiedAt, dirt, fed;

	*initClass { all = List.new }

	*new { |port = 7836, server, clock, host = "127.0.0.1"|
		^super.new.init(NetAddr(host, port), server ? Server.default, clock ? TempoClock.default)
	}

	// Start `stemwright serve` in the background; it goes on when sclang ends.
	*serve { |options = "", command = "stemwright"|
		^"% serve %".format(command, options).unixCmd
	}

	*newId { |word = "sc"|
		counter = counter + 1;
		^"%-%-%-%".format(word, Date.getDate.stamp, 1000000.rand, counter)
	}

	init { |address, aServer, aClock|
		addr = address;
		server = aServer;
		clock = aClock;
		folder = Platform.defaultTempDir;
		jobs = IdentityDictionary.new;
		asked = IdentityDictionary.new;
		all.add(this);
		CmdPeriod.add(this);
		responders = [
			\pong, 'status.reply', 'version.reply', 'presets.reply', 'models.reply', \done, \captured, \startup,
			\accepted, \progress, \result, \finished, \cancelled, \fail, 'job.reply'
		].collect { |name|
			OSCFunc({ |message| this.prHear(name, message[1..]) }, "/stemwright/" ++ name, addr).permanent_(true)
		};
		ticker = SkipJack({ this.prTick }, 0.5, name: "stemwright"); // survives CmdPeriod
	}

	free {
		this.notify(false);
		this.unlisten;
		ticker.stop;
		responders.do(_.free);
		jobs.do(_.stop);
		CmdPeriod.remove(this);
		all.remove(this);
	}

	// Cmd-. ends Routines: what was being prepared is given up, what was being loaded is loaded again.
	cmdPeriod { jobs.copy.do(_.prCmdPeriod) }

	send { |name ... arguments| addr.sendMsg("/stemwright/" ++ name, *arguments) }

	// What the server is: each calls its action with the answer, or with nil when there is none.
	ping { |action| this.prAsk(\pong, { this.send(\ping, 7) }, action) }
	status { |action|
		this.prAsk('status.reply', { this.send(\status) }, { |found|
			action.value(found !? { Event.newFrom([[\state, \queued, \running, \model, \progress, \device], found].flop.flat) })
		})
	}
	version { |action| this.prAsk('version.reply', { this.send(\version) }, action) }

	// A list of Events (name:, task:, prompt:, colour:)
	presets { |action|
		this.prAsk('presets.reply', { rows = []; this.send(\presets) }, { |found|
			action.value(found !? { rows.collect { |row| (name: row[2], task: row[3], prompt: row[4].asString, colour: row[5]) } })
		})
	}

	// Hear of everybody's jobs, through onEvent, and of a server that has come back; the lease is renewed.
	notify { |isOn = true|
		isNotified = isOn;
		notifiedAt = Main.elapsedTime;
		this.send(\notify, isOn.binaryValue)
	}

	// The stems of everybody's jobs become samples of SuperDirt, in a bank of the job's name: s "verse" # n 0
	feed { |aSuperDirt|
		dirt = aSuperDirt;
		fed = Set.new; // an event may be told again
		this.notify(dirt.notNil);
	}

	// Keep what a bus plays, to cut bars out of it; on the bar lines of the clock.
	listen { |bus = 0, channels = 2, seconds = 60|
		this.unlisten;
		listener = StemwrightListener(server, clock, bus, channels, seconds);
	}
	unlisten { listener !? { listener.free }; listener = nil }

	// The last whole bars of what `listen` hears → a job
	last { |bars = 1, prompt, options, action|
		var job = this.prJob(\extract, prompt, options, action);
		if(listener.isNil) { job.prFail(\no_audio, "nothing is listened to; first: x.listen"); ^job };
		{
			var path = this.prPath(job.id);
			var span = listener.write(bars, path, { |text| job.prFail(\no_audio, text) });
			if(span.notNil) {
				job.prPlace(span[\beat], span[\beats], span[\tempo]);
				job.prTemporary(path);
				job.prSubmit(["path", path]);
			}
		}.fork(AppClock);
		^job
	}

	// The bars of the server's own live input (stemwright serve --input) up to the next bar line → a job
	//  delay  seconds from a beat of the clock until the server has heard it; nil: scsynth's latency
	// Where the bars begin in it is found by what `listen` heard of the same sound; without that, by the delay.
	input { |bars = 1, prompt, options, action, delay|
		var job = this.prJob(\extract, prompt, options, action);
		var end = clock.nextBar, beats = bars * clock.beatsPerBar, margin = 0.25;
		job.prPlace(end - beats, beats, clock.tempo);
		clock.schedAbs(end, {
			job.prCapture(beats / clock.tempo, (delay ? server.latency ? 0.2), margin, listener, bars);
			nil
		});
		^job
	}

	// A part of a file or Buffer → a job. It plays from the bar line after the stem has come.
	extract { |source, prompt, options, action| ^this.prRun(\extract, source, prompt, options, action) }
	// A new part that fits into a mix, or a backing for a single part.
	add { |source, prompt, options, action| ^this.prRun(\add, source, prompt, options, action) }
	accompany { |source, prompt, options, action| ^this.prRun(\accompany, source, prompt, options, action) }
	// Music from words alone.
	generate { |prompt, options, action| ^this.prRun(\generate, nil, prompt, options, action) }

	prRun { |task, source, prompt, options, action|
		var job = this.prJob(task, prompt, options, action);
		case
		{ source.isNil } { job.prSubmit([]) }
		{ source.isKindOf(Buffer) } {
			{
				var path = this.prPath(job.id);
				job.prTemporary(path);
				source.write(path, "wav", "float");
				source.server.sync;
				job.prSubmit(["path", path]);
			}.fork(AppClock)
		}
		{ job.prSubmit(["path", source.asString.standardizePath]) };
		^job
	}

	prJob { |task, prompt, options, action|
		var job = StemwrightJob(this, task, prompt, options, action);
		jobs[job.id.asSymbol] = job;
		^job
	}

	prPath { |id| ^folder +/+ "stemwright-" ++ id ++ ".wav" }

	prAsk { |answer, ask, action|
		asked[answer] = asked[answer].add((ask: ask, action: action, sent: Main.elapsedTime, count: 1));
		ask.value;
	}

	prAnswer { |name, found|
		var waiting = asked.removeAt(name);
		waiting.do { |one| one[\action].value(found) };
	}

	prHear { |name, arguments|
		var job;
		onEvent.value(name, arguments);
		switch(name,
			\pong, { this.prAnswer(name, arguments) },
			'status.reply', { this.prAnswer(name, arguments) },
			'version.reply', { this.prAnswer(name, arguments) },
			'presets.reply', {
				if(arguments[0] >= 0) { rows = rows.add(arguments) };
				if(arguments[0] >= (arguments[1] - 1)) { this.prAnswer(name, arguments) };
			},
			\done, { if(arguments[0] == '/stemwright/notify') { lease = arguments[1].asString.asFloat.max(2) } },
			\captured, { // its id is the job's, with an ending
				job = jobs[arguments[0].asString.splitext[0].asSymbol];
				if(job.notNil) { job.prCaptured(*arguments[1..]) };
			},
			\startup, {
				if(isNotified) { this.notify };
				onStartup.value;
			},
			\fail, {
				job = jobs[arguments[3]];
				if(job.notNil) { job.prRefuse(arguments[1], arguments[2].asString) };
				case
				{ arguments[0] == '/stemwright/capture' } { // does not say whose: all that wait for one
					jobs.copy.do { |one| one.prCaptureRefused(arguments[1], arguments[2].asString) }
				}
				{ arguments[3] == '' } { "Stemwright: %".format(arguments[2]).warn };
			},
			{
				job = jobs[arguments[0]];
				if(name == \result) { this.prFeed(*arguments) };
				if(job.notNil) { job.prHear(name, arguments[1..]) };
			}
		)
	}

	prFeed { |job, index, count, kind, path|
		var key = (job ++ "/" ++ index).asSymbol;
		if(dirt.isNil or: { fed.includes(key) }) { ^this };
		dirt.loadSoundFile(path.asString, job, fed.any { |one| one.asString.beginsWith(job ++ "/") });
		fed.add(key);
	}

	// Twice a second: leases kept, questions asked again, jobs looked after.
	prTick {
		var now = Main.elapsedTime;
		if(isNotified and: { now - notifiedAt > (lease / 2) }) { this.notify };
		asked.keys.copy.do { |name|
			var first = asked[name][0];
			if(now - first[\sent] > patience) {
				if(first[\count] >= tries) { this.prAnswer(name, nil) } {
					first[\sent] = now;
					first[\count] = first[\count] + 1;
					first[\ask].value;
				}
			}
		};
		jobs.copy.do { |job| job.prTick(now) };
	}

	noServer {
		^"no answer from % port %; start it in a terminal: stemwright serve (or here: Stemwright.serve)"
		.format(addr.hostname, addr.port)
	}
}
