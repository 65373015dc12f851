"""Models of other programs as specs: a Keras JSON, an ONNX graph.

`keras_json` and `onnx_graph` read a file into parts (`parts`), operators of the language in the
order they run. `structure` finds chains and branches in them, `folding` what repeats, and
`writer` writes the spec, and the weights under its paths.
"""
