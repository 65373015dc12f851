"""The version of the package. The language has a number of its own: `flaxspec: 1`."""

VERSION = "0.1.0"
