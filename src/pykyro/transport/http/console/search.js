import { ask, within } from "./api.js";
import { count, draw, field, make, table } from "./dom.js";
import { filterField, filterOf, shown } from "./documents.js";

// What the answer says of its way: how many rows there were, matched the filter, were looked at, and came back.
function plan(answer, collection) {
  const all = Number(collection.documents || 0);
  const stages = [["stored", all], ["matched", Number(answer.matched)], ["examined", Number(answer.examined)], ["answered", answer.hits.length]];
  const most = Math.max(1, ...stages.map(([, number]) => number));
  const bars = stages.flatMap(([name, number], row) => {
    const y = 10 + 26 * row;
    return [draw("text", { x: 0, y: y + 12 }, name), draw("rect", { class: "track", x: 70, y, width: 430, height: 16, rx: 4 }),
      draw("rect", { class: "bar", x: 70, y, width: Math.max(number ? 2 : 0, 430 * number / most), height: 16, rx: 4 }),
      draw("text", { x: 510, y: y + 12 }, `${count(number)} rows`)];
  });
  const way = [answer.exact ? "exact" : "by the graph", answer.tiers.length ? `tiers: ${answer.tiers.join(", ")}` : "",
    answer.cached ? `cached: ${answer.cached}` : "", answer.complete ? "" : "not complete", `${answer.latency_ms.toFixed(2)} ms`];
  return make("div", { class: "card" }, make("h2", {}, "How it was found"),
    draw("svg", { class: "plan", viewBox: "0 0 600 116", role: "img", "aria-label": stages.map(([name, n]) => `${name} ${n} rows`).join(", ") }, ...bars),
    make("p", { class: "dim" }, way.filter(Boolean).join(" · ")), answer.plan ? make("pre", {}, answer.plan) : undefined);
}

function vectorOf(text) {
  if (!text.trim()) return undefined;
  const numbers = text.replace(/[[\]]/g, " ").trim().split(/[\s,]+/).map(Number);
  if (numbers.some((number) => !Number.isFinite(number))) throw new Error("The vector has something that is no number");
  return numbers;
}

export async function showSearch(panel, collection, { guarded, like, wanted }) {
  const text = make("input", { disabled: !collection.text, placeholder: collection.text ? "words" : "this collection has no words" });
  const vector = make("input", { placeholder: `${collection.dimension} numbers`, spellcheck: "false" });
  const filter = filterField();
  const k = make("input", { type: "number", min: 1, max: 1000, value: 10 });
  const exact = make("select", {}, make("option", { value: "" }, "as planned"), make("option", { value: "1" }, "exact"));
  const found = make("div", { "aria-live": "polite" });

  const run = () => guarded(async () => {
    const words = text.value.trim();
    const body = { vector: vectorOf(vector.value), k: Number(k.value), filter: filterOf(filter) };
    if (words) Object.assign(body, { text: words, explain: true });
    if (exact.value) body.exact = true;
    const answer = await ask(within(collection.name, "/search"), body);
    found.replaceChildren(plan(answer, collection), table(["Score", "Id", "Metadata", ""], answer.hits.map((hit) => [
      Number(Number(hit.score).toFixed(5)), String(hit.id), shown(hit.metadata),
      make("button", { onclick: () => like(hit), "aria-label": `More like ${hit.id}` }, "More like this")])));
  });

  panel.append(make("form", { onsubmit: (event) => { event.preventDefault(); run(); } }, make("div", { class: "row" },
    field("Text", text), field("Vector", vector), field("Filter (JSON)", filter), field("Results", k), field("Way", exact),
    make("div", {}, make("button", { class: "first" }, "Search")))), found);
  if (wanted) {
    const stored = await ask(within(collection.name, `/documents/${encodeURIComponent(wanted.id)}?include_vector=true`));
    vector.value = stored.vector.join(", ");
    await run();
  }
}
