"""A graph as a picture: SVG, HTML, Mermaid, Graphviz, or lines of text.

`scene` says what is a box and what is inside it, `opening` which boxes stand open, `layout` in
which row and lane each stands; each format has a file of its own.
"""
