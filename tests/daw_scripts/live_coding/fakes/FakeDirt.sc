// A stand-in for SuperDirt: the one method of it that we call, of the same name and arguments (SuperDirt 1.7), on
// banks of Buffers. Refuses what SuperDirt's would ignore.
FakeDirt {
	var <server, <buffers;

	*new { |server| ^super.newCopyArgs(server, IdentityDictionary.new) }

	loadSoundFile { |path, name, appendToExisting = false|
		if(path.isString.not or: { name.isKindOf(Symbol).not }) { Error("not a path and a name").throw };
		if(#["wav", "aif", "aiff", "aifc"].includesEqual(path.splitext[1].toLower).not) { Error("ignored").throw };
		if(appendToExisting.not) { buffers.removeAt(name) };
		buffers[name] = buffers[name].add(Buffer.read(server, path));
	}
}

