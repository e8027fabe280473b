import { ask, figures, hasKey } from "./api.js";
import { count, draw, make, table, tile } from "./dom.js";

const EVERY_MS = 2000, KEPT = 150;
const percent = (share) => `${(100 * share).toFixed(2)} %`;
const moment = (seconds) => seconds ? new Date(1000 * seconds).toLocaleString() : "none known";
const milliseconds = (ns) => ns ? `${(ns / 1e6).toFixed(2)} ms` : "–";

function curve(name, unit, values) {
  const most = Math.max(...values, 1);
  const at = (value, index) => `${40 + 350 * (index + KEPT - values.length) / (KEPT - 1)} ${100 - 84 * value / most}`;
  const label = most >= 10 ? count(Math.round(most)) : most.toFixed(1);
  return make("div", { class: "card" }, make("h2", {}, `${name} `, make("span", { class: "unit" }, unit)),
    draw("svg", { viewBox: "0 0 400 122", role: "img", "aria-label": `${name}: now ${(values.at(-1) ?? 0).toFixed(1)} ${unit}, at most ${label}` },
      draw("path", { class: "axis", d: "M40 12V100H392", fill: "none" }), draw("text", { x: 34, y: 20, "text-anchor": "end" }, label),
      draw("text", { x: 34, y: 104, "text-anchor": "end" }, "0"), draw("text", { x: 40, y: 116 }, `${KEPT * EVERY_MS / 60000} min ago`),
      draw("text", { x: 390, y: 116, "text-anchor": "end" }, "now"),
      values.length > 1 ? draw("path", { class: "curve", d: `M${values.map(at).join("L")}` }) : undefined));
}

function total(samples, name) {
  let sum = 0;
  for (const [key, value] of samples) if (key === name || key.startsWith(`${name}{`)) sum += value;
  return sum;
}

async function usageTable() {
  if (!hasKey()) return undefined;
  let usage;
  try { usage = await ask("/usage?scope=all"); } catch { usage = await ask("/usage"); }
  return make("div", { class: "card" }, make("h2", {}, "Tenants and usage"), make("pre", {}, JSON.stringify(usage, null, 2)));
}

export async function showServer(panel, collection, { guarded, signal }) {
  const histories = { searches: [], writes: [], memory: [] };
  const tiles = make("div", { class: "tiles" }), curves = make("div", { class: "row" }), slo = make("div");
  let before = null;
  const turn = async () => {
    const [report, samples] = await Promise.all([ask("/slo"), figures()]);
    const now = report.current_metrics, wanted = report.slo_thresholds, breach = report.slo_breaches, at = performance.now();
    const values = { searches: total(samples, "kyrodb_queries_total"), writes: total(samples, "kyrodb_inserts_total") };
    if (before) for (const name of ["searches", "writes"])
      histories[name].push(Math.max(0, 1000 * (values[name] - before[name]) / (at - before.at)));
    histories.memory.push((samples.get("kyrodb_memory_used_bytes") ?? 0) / 2 ** 20);
    before = { ...values, at };
    for (const history of Object.values(histories)) if (history.length > KEPT) history.shift();
    tiles.replaceChildren(tile("99 % of searches within", milliseconds(now.p99_latency_ns)), tile("Cache hits", percent(now.cache_hit_rate)),
      tile("Errors", percent(now.error_rate)), tile("Slow searches", count(total(samples, "kyrodb_slow_queries_total"))), tile("Newest backup", moment(samples.get("kyrodb_backup_newest_timestamp_seconds"))),
      tile("Recall, sampled", report.recall ? percent(report.recall.estimate) : "not yet measured"));
    slo.replaceChildren(table(["Objective", "Now", "Wanted", ""], [["p99 latency", milliseconds(now.p99_latency_ns), `≤ ${milliseconds(wanted.p99_latency_ns)}`],
      ["cache hit rate", percent(now.cache_hit_rate), `≥ ${percent(wanted.min_cache_hit_rate)}`], ["error rate", percent(now.error_rate), `≤ ${percent(wanted.max_error_rate)}`],
      ["availability", percent(now.availability), `≥ ${percent(wanted.min_availability)}`]].map((row, index) => {
      const missed = breach[["p99_latency", "cache_hit_rate", "error_rate", "availability"][index]];
      return [...row, make("span", { class: missed ? "bad" : "good" }, missed ? "missed" : "held")];
    })));
    curves.replaceChildren(curve("Searches", "per second", histories.searches), curve("Documents written", "per second", histories.writes),
      curve("Memory", "MiB", histories.memory));
  };
  panel.append(tiles, curves, slo);
  await turn();
  const timer = setInterval(() => document.hidden || guarded(turn), EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  const usage = await usageTable();
  if (usage && !signal.aborted) panel.append(usage);
}
