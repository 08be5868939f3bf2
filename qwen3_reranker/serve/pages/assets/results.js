// An answer of /v1/rerank -> bars, best first, with what was read, charged and saved.

import { count, dollars, fixed, make, plural, seconds, signed } from "./dom.js";
import { shown } from "./documents.js";

const LONG = 280;

// `before` holds the places of documents in another ranking, to say who moved: an empty map for the ranking that others
// are compared with, null where nothing is compared.
export function rankingOf(answer, documents, { title, before }) {
  const list = make("ol", { class: "hits" });
  for (const [place, result] of answer.results.entries()) {
    list.append(hitOf(result, place, documents[result.index], before));
  }
  return make("section", { class: "ranking", "aria-label": title }, figuresOf(answer), list, noteOf(answer));
}

export const placesOf = (answer) => new Map(answer.results.map((result, place) => [result.index, place]));

function hitOf(result, place, document, before) {
  const probability = result.probability ?? result.relevance_score;
  const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span", {}));
  bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, probability))}%`;
  const facts = [`document ${result.index + 1}`, `logit ${signed(result.logit)}`];
  const cut = result.kept_tokens < result.document_tokens;
  if (result.document_tokens !== undefined && !cut) facts.push(plural(result.document_tokens, "token"));
  return make(
    "li",
    { class: "hit", "data-index": result.index },
    make(
      "div",
      { class: "hit-head" },
      make("span", { class: "place", "aria-hidden": "true" }, String(place + 1)),
      make("span", { class: "probability" }, make("span", { class: "hidden" }, "probability "), fixed(probability, 3)),
      bar,
      before === null ? null : moveOf(before.get(result.index), place),
    ),
    textOf(shown(document ?? "")),
    make(
      "p",
      { class: "hit-facts" },
      facts.join(" · "),
      cut
        ? make("span", { class: "cut" }, ` · cut: ${count(result.kept_tokens)} of ${count(result.document_tokens)} tokens read`)
        : null,
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

function figuresOf(answer) {
  const { usage = {}, meta = {} } = answer;
  const priced = usage.cost !== undefined && usage.cost !== null;
  const saved = usage.prompt_tokens - usage.computed_tokens;
  const share = usage.prompt_tokens > 0 && Number.isFinite(saved) ? ` (${Math.round((100 * saved) / usage.prompt_tokens)} %)` : "";
  const figures = [
    [priced ? "tokens charged" : "tokens", count(usage.prompt_tokens)],
    ["saved by sharing", Number.isFinite(saved) ? `${count(saved)}${share}` : "–"],
    ["time", seconds(meta.timings?.total)],
  ];
  if (priced) figures.push(["cost", dollars(usage.cost)]);
  return make(
    "dl",
    { class: "figures" },
    ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

function noteOf(answer) {
  const { timings } = answer.meta ?? {};
  const notes = [...(answer.meta?.warnings ?? [])].map(String);
  if (timings) {
    const parts = ["tokenising", "waiting", "computing"].map((part) => `${part} ${seconds(timings[part])}`);
    notes.unshift(parts.join(" · "));
  }
  return notes.length ? make("p", { class: "help" }, notes.join(" ")) : null;
}
