"""The networks as files: torch to ONNX graphs, with parity as part of exporting."""

if __name__ != "stemwright.export":
    raise ImportError("import it as stemwright.export: the bare folder name collides with other packages")
