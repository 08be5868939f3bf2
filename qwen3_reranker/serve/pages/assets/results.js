// A reply of /v1/rerank -> bars, best first, with what was read, charged and saved.

import { count, dollars, make, plural, seconds, signed } from "./dom.js";
import { shown } from "./documents.js";

const LONG = 280;

// `before` holds the places of documents in another ranking, to say who moved: an empty map for the ranking that others
// are compared with, null where nothing is compared.
export function rankingOf({ answer, headers }, documents, { title, before }) {
  const timings = timingsOf(headers);
  const list = make("ol", { class: "hits" });
  for (const [place, result] of answer.results.entries()) {
    list.append(hitOf(result, place, documents[result.index], before));
  }
  return make("section", { class: "ranking", "aria-label": title }, figuresOf(answer.usage, headers), list, noteOf(answer.meta, timings));
}

export const placesOf = ({ answer }) => new Map(answer.results.map((result, place) => [result.index, place]));

function hitOf(result, place, document, before) {
  const { logit, probability, document_tokens: tokens, kept_document_tokens: kept } = result.details;
  const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span", {}));
  bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, probability))}%`;
  const facts = [`document ${result.index + 1}`, `logit ${signed(logit)}`];
  const atLeast = result.details.is_lower_bound ? "at least " : "";
  if (kept === tokens) facts.push(plural(tokens, "token"));
  return make(
    "li",
    { class: "hit", "data-index": result.index },
    make(
      "div",
      { class: "hit-head" },
      make("span", { class: "place", "aria-hidden": "true" }, String(place + 1)),
      make("span", { class: "probability" }, make("span", { class: "hidden" }, "probability "), probability.toFixed(3)),
      bar,
      before === null ? null : moveOf(before.get(result.index), place),
    ),
    textOf(shown(document ?? "")),
    make(
      "p",
      { class: "hit-facts" },
      facts.join(" · "),
      kept < tokens ? make("span", { class: "cut" }, ` · cut: ${count(kept)} of ${atLeast}${count(tokens)} tokens read`) : null,
    ),
  );
}

function textOf(text) {
  const paragraph = make("p", { class: "hit-text", dir: "auto" }, text);
  if (text.length <= LONG && text.split("\n").length <= 4) return paragraph;
  paragraph.classList.add("folded");
  const button = make("button", { type: "button", class: "link", "aria-expanded": "false" }, "Show all of it");
  button.addEventListener("click", () => {
    const folded = paragraph.classList.toggle("folded");
    button.setAttribute("aria-expanded", String(!folded));
    button.textContent = folded ? "Show all of it" : "Show less";
  });
  return make("div", {}, paragraph, button);
}

function moveOf(earlier, place) {
  if (earlier === undefined) return make("span", { class: "move" });
  const by = earlier - place;
  if (by === 0) return make("span", { class: "move" }, make("span", { class: "hidden" }, "same place as in A"));
  const [sign, word] = by > 0 ? ["▲", "up"] : ["▼", "down"];
  return make(
    "span",
    { class: `move ${word}` },
    make("span", { "aria-hidden": "true" }, `${sign} ${Math.abs(by)}`),
    make("span", { class: "hidden" }, `${word} ${Math.abs(by)} from A`),
  );
}

function figuresOf(usage, headers) {
  const priced = usage.cost !== undefined;
  const saved = usage.prompt_tokens - usage.computed_tokens;
  const figures = [
    [priced ? "tokens charged" : "tokens", count(usage.prompt_tokens)],
    ["saved by sharing", `${count(saved)} (${Math.round((100 * saved) / usage.prompt_tokens)} %)`],
    ["time", seconds(Number(headers.get("openai-processing-ms")) / 1000)],
  ];
  if (priced) figures.push(["cost", dollars(usage.cost)]);
  return make(
    "dl",
    { class: "figures" },
    ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

// Server-Timing is `tokenising;dur=0.4, waiting;dur=0.1, ...`, in milliseconds.
function timingsOf(headers) {
  const parts = [...(headers.get("server-timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g)];
  return parts.map(([, name, milliseconds]) => `${name} ${seconds(Number(milliseconds) / 1000)}`).join(" · ");
}

const noteOf = (meta, timings) => make("p", { class: "help" }, [timings, ...meta.warnings].filter(Boolean).join(". "));
