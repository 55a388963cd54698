"""The inference engine: a Job in, stems out."""

if __name__ != "stemwright.engine":
    raise ImportError("import it as stemwright.engine: the bare folder name collides with other packages")
