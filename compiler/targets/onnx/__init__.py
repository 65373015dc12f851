"""A graph in evaluation, with its arrays, as an ONNX model.

`model.py` walks the graph; a file for each family of operators holds what it becomes, as in
`compiler/lower`. `builder.py` is what they write to. Needs the package `onnx`.
"""
