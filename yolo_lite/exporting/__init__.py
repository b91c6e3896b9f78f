"""Models as files that run without this library: ONNX and TorchScript."""
