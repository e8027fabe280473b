import { ask, within } from "./api.js";
import { draw, make } from "./dom.js";

const NUMBERS_MAX = 400_000;
const ROUNDS = 30;

const dot = (a, b) => a.reduce((sum, x, at) => sum + x * b[at], 0);

// One principal axis of centred rows by power iteration, at right angles to those before.
function axis(rows, before) {
  let direction = rows[0].map((_, at) => Math.sin(1 + at));
  for (let round = 0; round < ROUNDS; round++) {
    const next = new Array(direction.length).fill(0);
    for (const row of rows) {
      const along = dot(row, direction);
      for (let at = 0; at < next.length; at++) next[at] += along * row[at];
    }
    for (const other of before) {
      const along = dot(next, other);
      for (let at = 0; at < next.length; at++) next[at] -= along * other[at];
    }
    const length = Math.hypot(...next);
    if (!(length > 0)) return next.fill(0);
    direction = next.map((x) => x / length);
  }
  return direction;
}

export function projected(vectors) {
  const middle = vectors[0].map((_, at) => vectors.reduce((sum, row) => sum + row[at], 0) / vectors.length);
  const rows = vectors.map((row) => row.map((x, at) => x - middle[at]));
  const first = axis(rows, []);
  const second = axis(rows, [first]);
  const total = rows.reduce((sum, row) => sum + dot(row, row), 0);
  const points = rows.map((row) => [dot(row, first), dot(row, second)]);
  const kept = points.reduce((sum, [x, y]) => sum + x * x + y * y, 0);
  return { points, share: total > 0 ? kept / total : 1 };
}

export async function showMap(panel, collection, { like }) {
  const most = Math.max(2, Math.min(500, Math.floor(NUMBERS_MAX / collection.dimension)));
  const { documents } = await ask(within(collection.name, "/sample"), { count: most, include_vectors: true });
  if (documents.length < 2) return panel.append(make("p", { class: "dim" }, "A map needs two documents or more."));
  const { points, share } = projected(documents.map((one) => one.vector));
  const span = (at) => { const all = points.map((p) => p[at]); return [Math.min(...all), Math.max(...all) - Math.min(...all) || 1]; };
  const [[left, width], [low, height]] = [span(0), span(1)];
  const dots = points.map(([x, y], at) => draw("circle", { class: "point", r: 4, cx: 30 + 740 * (x - left) / width,
    cy: 20 + 380 * (1 - (y - low) / height), onclick: () => like(documents[at]) },
    draw("title", {}, `${documents[at].id} ${JSON.stringify(documents[at].metadata).slice(0, 300)}`)));
  panel.append(make("div", { class: "card" }, make("h2", {}, "Map of the vectors"),
    draw("svg", { viewBox: "0 0 800 440", role: "img", "aria-label": `${points.length} documents on their two principal axes` },
      draw("path", { class: "axis", d: "M20 10V410H790", fill: "none" }), ...dots,
      draw("text", { x: 700, y: 430 }, "first axis →"), draw("text", { x: 24, y: 10 }, "↑ second axis")),
    make("p", { class: "dim" }, `${points.length} documents picked at random on the two axes along which they differ most `
      + `(${(100 * share).toFixed(0)} % of the variance). A click on a point searches for more like it.`)));
}
