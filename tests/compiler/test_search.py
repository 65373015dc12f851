"""Decoding: the search finds what a search by hand finds, and what trying everything finds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from compiler.lower.build import build_spec

SIZE, START, END, LIMIT = 3, 1, 2, 4
SPEC = f"""
flaxspec: 1
inputs:
  source: {{kind: tokens, vocabulary: 6, length: any}}
  target: {{kind: tokens, vocabulary: {SIZE}, length: any}}
blocks:
  decoder:
    inputs: [before, memory, state]
    layers:
      - scan:
          over: {{token: before}}
          carry: {{h: state}}
          layers:
            - embed: 4
            - {{lstm_cell: {{units: 4, state: h}}, name: h}}
            - {{attention: memory, name: look}}
            - concat: [h, look]
            - {{dense: {{units: {SIZE}}}, init: {{kernel: {{normal: {{stddev: 2}}}}}}}}
          outputs: {{looked: look}}
          decode: {{beam: 2, start: "<s>", end: {END}, length: {LIMIT}}}
        name: steps
model:
  - {{embed: 4, from: source}}
  - {{lstm: 4, name: encoder}}
  - {{shift: {{time: 1, fill: {START}}}, from: target, name: before}}
  - {{decoder: , from: [before, encoder.sequence, encoder.state], name: decoder}}
outputs: {{logits: decoder, looked: decoder.steps.looked}}
"""
SOURCE = np.array([[1, 2, 3, 4, 5], [5, 4, 3, 0, 0], [2, 0, 0, 0, 0]])
LENGTHS = {"source": np.array([5, 3, 1])}
SYMBOLS = {"<s>": START}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("search") / "search.yaml"
    path.write_text(SPEC)
    yield build_spec(path, seed=2)


@pytest.fixture(scope="module")
def log_p(model: Any) -> dict[tuple[int, ...], np.ndarray]:
    """log P of every symbol after every beginning, for each row: (rows, symbols), by beginning."""
    found: dict[tuple[int, ...], np.ndarray] = {}
    graphdef, state = nnx.split(model)
    run = jax.jit(lambda target: nnx.merge(graphdef, state)(
        source=jnp.asarray(SOURCE), target=target, lengths=LENGTHS)["logits"])
    for target in product(range(SIZE), repeat=LIMIT):
        logits = np.asarray(run(np.array([target] * 3)), np.float64)
        scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for t in range(LIMIT):
            found[target[:t]] = scores[:, t]
    return found


def penalty(n: int, alpha: float) -> float:
    return ((5 + n) / 6) ** alpha


def by_hand(log_p: Any, row: int, width: int, alpha: float) -> list[tuple[tuple[int, ...], float]]:
    """Beam search one sequence after the other: (sequence, score), the best first."""
    beam: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for _ in range(LIMIT):
        candidates = []
        for sequence, log in beam:
            if sequence[-1:] == (END,):
                candidates.append((sequence, log))
            else:
                candidates += [((*sequence, s), log + log_p[sequence][row, s])
                               for s in range(SIZE)]
        candidates.sort(key=lambda c: -c[1] / penalty(len(c[0]), alpha))
        beam = candidates[:width]
    return [(s, log / penalty(len(s), alpha)) for s, log in beam]


def everything(log_p: Any, row: int, alpha: float) -> list[tuple[tuple[int, ...], float]]:
    """Every sequence that ends, or is as long as the limit, the best first."""
    found = []
    for n in range(1, LIMIT + 1):
        for s in product(range(SIZE), repeat=n):
            if END not in s[:-1] and (s[-1] == END or n == LIMIT):
                log = sum(log_p[s[:t]][row, s[t]] for t in range(n))
                found.append((s, log / penalty(n, alpha)))
    return sorted(found, key=lambda c: -c[1])


@pytest.mark.parametrize("width, alpha", [(1, 0.6), (2, 0.0), (2, 1.5), (3, 0.6)])
def test_a_beam_keeps_what_the_search_by_hand_keeps(
    model: Any, log_p: Any, width: int, alpha: float,
) -> None:
    found = model.decode({"source": SOURCE}, LENGTHS, symbols=SYMBOLS, beam=width, alpha=alpha)
    for row in range(3):
        for i, (sequence, score) in enumerate(by_hand(log_p, row, width, alpha)):
            n = int(found.all_lengths[row, i])
            assert tuple(found.all_tokens[row, i, :n].tolist()) == sequence
            assert bool(found.all_ended[row, i]) == (sequence[-1] == END)
            assert not found.all_tokens[row, i, n:].any()
            np.testing.assert_allclose(found.all_scores[row, i], score, rtol=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_beam_as_wide_as_all_sequences_finds_the_best_of_all(
    model: Any, log_p: Any, alpha: float,
) -> None:
    width = SIZE ** LIMIT
    found = model.decode({"source": SOURCE}, LENGTHS, symbols=SYMBOLS, beam=width, alpha=alpha)
    for row in range(3):
        best = everything(log_p, row, alpha)
        assert np.isfinite(found.all_scores[row]).sum() == len(best)
        np.testing.assert_allclose(found.all_scores[row, :len(best)], [s for _, s in best],
                                   rtol=1e-4)
        n = int(found.lengths[row])
        assert tuple(found.tokens[row, :n].tolist()) == best[0][0]


def test_a_beam_of_one_takes_the_best_symbol_of_each_step(model: Any, log_p: Any) -> None:
    found = model.decode({"source": SOURCE}, LENGTHS, symbols=SYMBOLS, beam=1)
    for row in range(3):
        sequence: tuple[int, ...] = ()
        while sequence[-1:] != (END,) and len(sequence) < LIMIT:
            sequence += (int(log_p[sequence][row].argmax()),)
        assert tuple(found.tokens[row, :int(found.lengths[row])].tolist()) == sequence


def test_outputs_are_those_of_the_best_sequence_given_as_target(model: Any) -> None:
    found = model.decode({"source": SOURCE}, LENGTHS, symbols=SYMBOLS)
    assert set(found.outputs) == {"looked"}
    given = model(source=SOURCE, target=found.tokens,
                  lengths=LENGTHS | {"target": found.lengths})
    np.testing.assert_allclose(found.outputs["looked"], given["looked"], rtol=1e-5, atol=1e-6)


def test_decoding_is_one_program_that_an_outer_jit_may_hold(model: Any) -> None:
    plain = model.decode({"source": SOURCE}, LENGTHS, symbols=SYMBOLS)
    graphdef, state = nnx.split(model)

    @jax.jit
    def run(state: Any, source: Any, lengths: Any) -> Any:
        return nnx.merge(graphdef, state).decode({"source": source}, lengths, symbols=SYMBOLS)

    inside = run(state, jnp.asarray(SOURCE), LENGTHS)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(inside), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_padding_of_what_is_read_changes_nothing(model: Any) -> None:
    other = np.where(np.arange(5) < LENGTHS["source"][:, None], SOURCE, 5)
    first, again = (model.decode({"source": s}, LENGTHS, symbols=SYMBOLS) for s in (SOURCE, other))
    np.testing.assert_array_equal(first.all_tokens, again.all_tokens)
    np.testing.assert_allclose(first.all_scores, again.all_scores, rtol=1e-6)


def test_what_decoding_cannot_do_is_told(model: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not given: source, target"):
        model.decode({}, symbols=SYMBOLS)
    with pytest.raises(TypeError, match="no input sauce"):
        model.decode({"sauce": SOURCE}, symbols=SYMBOLS)
    with pytest.raises(ValueError, match="`start: <s>` of `decode` is a symbol without a number"):
        model.decode({"source": SOURCE})
    with pytest.raises(ValueError, match="beam"):
        model.decode({"source": SOURCE}, symbols=SYMBOLS, beam=0)
    path = tmp_path / "other.yaml"
    path.write_text("flaxspec: 1\ninputs: {x: {shape: [3]}}\nmodel: [relu]\n")
    with pytest.raises(ValueError, match="no `scan`"):
        build_spec(path).decode({})
