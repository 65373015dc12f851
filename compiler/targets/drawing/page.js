// Draws the wires of a page of boxes, folds and opens them, and finds words in them.
"use strict";
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const LABEL = 17, CLEAR = 5, TRACK = 9, ROUND = 6;
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const byId = (id) => document.getElementById(id);

  // A path through corners that are cut round.
  function rounded(corners) {
    let points = corners.filter((p, i) =>
      i === 0 || p[0] !== corners[i - 1][0] || p[1] !== corners[i - 1][1]);
    points = points.filter((p, i) => {
      const a = points[i - 1], b = points[i + 1];
      return !a || !b || !((a[0] === p[0] && p[0] === b[0]) || (a[1] === p[1] && p[1] === b[1]));
    });
    let [x, y] = points[0];
    let path = `M${x} ${y}`;
    for (let i = 1; i < points.length; i++) {
      const [a, b] = points[i];
      if (i === points.length - 1) return `${path}L${a} ${b}`;
      const [c, d] = points[i + 1];
      const r = Math.min(ROUND, (Math.abs(a - x) + Math.abs(b - y)) / 2,
        (Math.abs(c - a) + Math.abs(d - b)) / 2);
      path += `L${a - Math.sign(a - x) * r} ${b - Math.sign(b - y) * r}` +
        `Q${a} ${b} ${a + Math.sign(c - a) * r} ${b + Math.sign(d - b) * r}`;
      [x, y] = [a, b];
    }
    return path;
  }

  // The wires of one scope. Each line is [source, target, first lane, last lane, track below the
  // source, track above the target, whether it skips].
  function draw(scope) {
    if (!scope.offsetParent) return;
    const lines = JSON.parse(scope.dataset.lines), places = JSON.parse(scope.dataset.places);
    const own = (name) => [...scope.children].filter((e) => e.classList.contains(name));
    const boxes = own("b"), lanes = own("lane"), gaps = own("gap");
    const wires = own("wires")[0];
    const middle = (a, b) =>
      Math.round((lanes[a].offsetLeft + lanes[b].offsetLeft + lanes[b].offsetWidth) / 2);
    const bottom = (e) => e.offsetTop + e.offsetHeight +
      (e.classList.contains("many") ? 8 : 0);
    all(":scope > path", wires).forEach((e) => e.remove());
    for (const [source, target, one, two, first, last, skip] of lines) {
      const [row, a, b] = places[source], [below, c, d] = places[target];
      const top = (r) => gaps[r].offsetTop + (gaps[r].classList.contains("told") ? LABEL : CLEAR);
      const from = middle(a, b), along = middle(one, two), to = middle(c, d);
      const turn = top(row) + TRACK * first, back = top(below - 1) + TRACK * last;
      const path = document.createElementNS(NS, "path");
      path.setAttribute("d", rounded([[from, bottom(boxes[source])], [from, turn], [along, turn],
        [along, back], [to, back], [to, boxes[target].offsetTop - 1]]));
      path.setAttribute("marker-end", skip ? "url(#dg-as)" : "url(#dg-a)");
      if (skip) path.setAttribute("class", "skip");
      wires.append(path);
    }
  }
  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; all(".scope").forEach(draw); });
  }
  document.addEventListener("toggle", redraw, true);
  addEventListener("resize", redraw);
  if (document.fonts) document.fonts.ready.then(redraw);

  // Folding.
  const blocks = all("details");
  const level = (e) => { let n = 0; for (; e; e = e.parentElement.closest("details")) n++; return n; };
  const fold = (depth) => { for (const e of blocks) e.open = level(e) < depth; };
  byId("fold").addEventListener("click", () => fold(1));
  byId("open").addEventListener("click", () => fold(Infinity));
  byId("levels").addEventListener("change", (e) => fold(Number(e.target.value)));

  // Searching.
  const word = byId("word"), found = byId("found");
  const texts = all(".b[data-told]").map((e) => {
    const own = e.matches("details") ? e.firstElementChild : e;
    return [e, (e.dataset.told + " " + own.textContent).toLowerCase()];
  });
  let hits = [], at = -1;
  function show(step) {
    all(".now").forEach((e) => e.classList.remove("now"));
    if (!hits.length) return;
    at = (at + step + hits.length) % hits.length;
    for (let e = hits[at].parentElement.closest("details"); e;
      e = e.parentElement.closest("details")) e.open = true;
    hits[at].classList.add("now");
    found.textContent = `${at + 1} of ${hits.length}`;
    requestAnimationFrame(() =>
      hits[at].scrollIntoView({ block: "center", inline: "center" }));
  }
  function search() {
    const words = word.value.toLowerCase().split(/\s+/).filter(Boolean);
    all(".hit").forEach((e) => e.classList.remove("hit"));
    hits = words.length ? texts.filter(([, t]) => words.every((w) => t.includes(w))).map(([e]) => e) : [];
    for (const e of hits) e.classList.add("hit");
    at = -1;
    found.textContent = words.length && !hits.length ? "nothing" : "";
    show(1);
  }
  word.addEventListener("input", search);
  word.addEventListener("keydown", (e) => {
    if (e.key === "Enter") { show(e.shiftKey ? -1 : 1); e.preventDefault(); }
    if (e.key === "Escape") { word.value = ""; search(); word.blur(); }
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "/" && document.activeElement !== word) { word.focus(); e.preventDefault(); }
  });

  // All about the box under the pointer or the keyboard.
  const told = byId("told");
  const tell = (e) => {
    const box = e.target.closest && e.target.closest(".b[data-told]");
    told.textContent = box ? box.dataset.told : "";
  };
  document.addEventListener("pointerover", tell);
  document.addEventListener("focusin", tell);
  redraw();
})();
