import { ask, within } from "./api.js";
import { count, field, make, table } from "./dom.js";

const PAGE = 25;

export function filterOf(control) {
  const text = control.value.trim();
  if (!text) return undefined;
  try { return JSON.parse(text); } catch (error) { throw new Error(`The filter is no JSON: ${error.message}`); }
}

export const filterField = () => make("input", { placeholder: '{"year": {"$gte": 1990}}', spellcheck: "false" });
export const shown = (value) => make("pre", {}, JSON.stringify(value, null, 1).replace(/\n\s*/g, " "));

export async function showDocuments(panel, collection, { guarded, like }) {
  const filter = filterField();
  const found = make("div", { "aria-live": "polite" });
  const tokens = [undefined];

  const load = () => guarded(async () => {
    const asked = { filter: filterOf(filter) };
    const page = await ask(within(collection.name, "/scroll"), { ...asked, limit: PAGE, page_token: tokens.at(-1) });
    const total = await ask(within(collection.name, "/count"), asked);
    const next = page.next_page_token;
    found.replaceChildren(
      make("p", { class: "dim" }, `${count(total.count)} documents match · page ${tokens.length}`),
      table(["Id", "Metadata", "Position", ""], page.documents.map((one) => [
        String(one.id), shown(one.metadata), Number(one.position),
        make("button", { onclick: () => like(one), "aria-label": `More like ${one.id}` }, "More like this")])),
      make("button", { disabled: tokens.length < 2, onclick: () => { tokens.pop(); load(); } }, "Back"), " ",
      make("button", { disabled: !next, onclick: () => { tokens.push(next); load(); } }, "Next"));
  });

  panel.append(make("form", { class: "row", onsubmit: (event) => { event.preventDefault(); tokens.length = 1; load(); } },
    field("Filter (JSON)", filter), make("div", {}, make("button", { class: "first" }, "Show"))), found);
  await load();
}
