"""A model as a file for other programs: ONNX, StableHLO, safetensors.

`subject.py` reads what is exported, a file for each format writes it, `compare.py` runs the
written file again beside the compiled model.
"""
