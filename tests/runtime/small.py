"""The small model on the digits that several files of tests train, each in its own way."""

SMALL = """\
flaxspec: 1
name: small
inputs:
  image: {shape: [8, 8, 1]}
model:
  - flatten
  - dense: 12
  - batch_norm
  - relu
  - dropout: 0.1
  - dense: 10
data: {dataset: digits, augment: [{shift: 1}]}
task: classification
"""
