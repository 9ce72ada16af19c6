"""The two file formats: questions to an ONNX graph, one reader of TFLite files, and what can be wrong with them."""
