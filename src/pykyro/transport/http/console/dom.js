// Elements are made by these functions alone: text of the database enters a page as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined).map((child) => child instanceof Node ? child : String(child)));
  return made;
}

export const make = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
export const draw = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);
export const byId = (id) => document.getElementById(id);

let fields = 0;
export function field(label, control) {
  control.id = `field-${++fields}`;
  return make("div", {}, make("label", { for: control.id }, label), control);
}

export function tile(name, value, className = "") {
  return make("div", { class: "card" }, make("h2", {}, name), make("div", { class: `value ${className}` }, value));
}

export function table(headings, rows) {
  return make("div", { class: "card wide" }, make("table", {},
    make("thead", {}, make("tr", {}, ...headings.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) =>
      make("td", { class: typeof cell === "number" && "number" }, cell)))))));
}

export const count = (n) => Number(n).toLocaleString("en");
