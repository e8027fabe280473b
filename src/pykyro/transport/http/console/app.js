import { ask, keep, within } from "./api.js";
import { showDocuments } from "./documents.js";
import { byId, count, make } from "./dom.js";
import { showMap } from "./map.js";
import { showSearch } from "./search.js";
import { showServer } from "./server.js";

const VIEWS = { documents: showDocuments, search: showSearch, map: showMap, server: showServer };
const EVERY_MS = 5000;
const state = { collection: null, view: "documents", like: null };
let leave = null;

function failed(error) {
  byId("error").textContent = error ? error.message : "";
  byId("error").hidden = !error;
}

async function show() {
  if (leave) leave.abort();
  leave = new AbortController();
  for (const tab of byId("tabs").children) {
    const selected = tab.id === `tab-${state.view}`;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
  }
  const panel = byId("panel");
  panel.setAttribute("aria-labelledby", `tab-${state.view}`);
  // What a view that was left still draws goes to an element that nobody sees.
  const place = make("div");
  panel.replaceChildren(place);
  failed(null);
  if (!state.collection && state.view !== "server") return;
  await guarded(() => VIEWS[state.view](place, state.collection, { guarded, like, wanted: state.like, signal: leave.signal }));
}

async function guarded(work) {
  try {
    failed(null);
    await work();
  } catch (error) {
    failed(error);
  }
}

function like(document) {
  state.like = document;
  state.view = "search";
  return show().finally(() => { state.like = null; });
}

async function choose(name) {
  await guarded(async () => {
    state.collection = await ask(within(name));
    const { dimension, distance, documents } = state.collection;
    byId("title").textContent = state.collection.name;
    byId("about").textContent = `${dimension} components · ${distance}` + (documents === undefined ? "" : ` · ${count(documents)} documents`);
    for (const item of byId("collections").querySelectorAll("button")) item.setAttribute("aria-current", item.dataset.name === name);
    await show();
  });
}

async function list() {
  await guarded(async () => {
    const { collections } = await ask("/v1/collections");
    byId("collections").replaceChildren(...collections.map((one) => make("li", {},
      make("button", { "data-name": one.name, onclick: () => choose(one.name) }, make("span", {}, one.name),
        make("span", { class: "dim" }, one.documents === undefined ? "" : count(one.documents))))));
    if (collections.length) await choose((collections.find((one) => one.documents) || collections[0]).name);
  });
}

async function health() {
  const pill = byId("health");
  try {
    const { status } = await ask("/health");
    pill.textContent = status;
    pill.className = `pill ${status === "healthy" ? "good" : status === "unhealthy" ? "bad" : "fair"}`;
  } catch {
    pill.textContent = "no answer";
    pill.className = "pill bad";
  }
}

const names = Object.keys(VIEWS);
byId("tabs").addEventListener("click", (event) => {
  const name = event.target.id.replace("tab-", "");
  if (names.includes(name)) { state.view = name; show(); }
});
byId("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: names.length - 1 }[event.key];
  if (!step) return;
  state.view = names[(names.indexOf(state.view) + step) % names.length];
  show();
  byId(`tab-${state.view}`).focus();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keep(byId("key").value.trim());
  byId("key").value = "";
  list();
});

health();
setInterval(health, EVERY_MS);
list();
