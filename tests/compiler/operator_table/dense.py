"""Rows of dense layers, embeddings and one-hot vectors."""

from tests.compiler.operator_table import Row, category, floats, tokens

ROWS = (
    Row("dense", "vector", {"units": 4}, (floats(3),), params=3 * 4 + 4, macs=12),
    Row("dense", "without bias", {"units": 4, "bias": False}, (floats(3),), params=12, macs=12),
    Row("dense", "every step of a sequence", {"units": 4}, (floats(5, 3),),
        params=3 * 4 + 4, macs=5 * 12),
    Row("dense", "every place of an image", {"units": 4}, (floats(2, 3, 3),),
        params=3 * 4 + 4, macs=6 * 12),
    Row("dense", "tied to a table", {"units": 7, "tie": "table.embedding"}, (floats(5, 3),),
        params=7, macs=5 * 3 * 7, tied=((7, 3),)),
    Row("embed", "tokens", {"units": 4}, (tokens(5, 7),), params=28),
    Row("embed", "category", {"units": 4}, (category(3),), params=12),
    Row("embed", "larger vocabulary", {"units": 4, "vocabulary": 9}, (tokens(5, 7),), params=36),
    Row("one_hot", "tokens", {}, (tokens(5, 7),)),
    Row("parameter", fields={"shape": (4, 3)}, inputs=(floats(6),), params=12),
    Row("parameter", "beside tokens", {"shape": (4, 5, 3)}, (tokens(5, 7),), params=60),
    Row("one_hot", "category with spare classes", {"classes": 9}, (category(3),)),
)
