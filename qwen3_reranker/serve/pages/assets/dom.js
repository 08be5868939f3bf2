// Elements and numbers, made from text alone: nothing that a visitor or a server sends is ever read as HTML.

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function shape(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

export const count = (value) => value.toLocaleString("en");

export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

export const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

export function seconds(value) {
  if (value < 0.01) return `${(value * 1000).toFixed(1)} ms`;
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

// Costs may be far below a cent: below a dollar three digits of them are shown.
export function dollars(value) {
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1 ? 2 : Math.min(12, 2 - Math.floor(Math.log10(size)));
  return `${value < 0 ? "−" : ""}$${size.toFixed(digits)}`;
}

// Days are those of UTC, as the server counts them.
export const dateOf = (time) =>
  new Date(time).toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric", timeZone: "UTC" });

// A probability as a number and as a bar.
export function barOf(probability) {
  const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span", {}));
  bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, probability))}%`;
  const number = make("span", { class: "probability" }, make("span", { class: "hidden" }, "probability "), probability.toFixed(3));
  return [number, bar];
}
