"""Weights in files of other libraries, and of our own: read, renamed, laid out anew, written.

NumPy is enough for all of it: neither JAX nor the library that wrote a file is imported, and
nothing that a file holds is ever run.
"""
