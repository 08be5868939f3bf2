// Rankings -> bars, best first, with what was read, charged and saved.

import { barOf, count, dollars, make, plural, seconds, signed } from "./dom.js";
import { shown } from "./documents.js";
import { reasonOf } from "./explanation.js";

const LONG = 280;
const MANY = 100;

// A ranking is { letter, model, compared, results, usage, headers, meta, explain,
// explanations }; that of the documents as they were given
// has results alone, without scores. `view` holds topN and threshold, null for none.
export function rankingOf(ranking, documents, view, other = null) {
  const title = ranking.compared ? `Ranking ${ranking.letter}` : "Ranking";
  const places = other && placesOf(other);
  const hits = ranking.results.map((result, place) => {
    const before = other && { place: places.get(result.index), result: other.results[places.get(result.index)] };
    const change = before ? [differenceOf(before.result, result), moveOf(before.place, place)] : [];
    const head = [placeOf(place), ...scoreOf(result), ...change];
    return hitOf(result, documents, ranking, make("div", { class: "hit-head" }, ...head));
  });
  return section(title, listOf(hits, ranking.results, view), [ranking]);
}

// Both rankings in one list, in the order of the second, for windows without room for two.
export function mergedOf(first, second, documents, view) {
  const places = placesOf(first);
  const hits = second.results.map((result, place) => {
    const earlier = places.get(result.index);
    const before = first.results[earlier];
    const sides = [[first, before], [second, result]].map(([{ letter }, each]) =>
      make("div", { class: "hit-head" }, make("span", { class: "letter" }, letter), ...scoreOf(each)),
    );
    const head = make("div", { class: "hit-head moved" }, placeOf(place), differenceOf(before, result), moveOf(earlier, place));
    return hitOf(result, documents, null, head, ...sides);
  });
  return section("Rankings A and B", listOf(hits, second.results, view), [first, second]);
}

export const nameOf = ({ letter, model }) => make("h3", { class: "side-name" }, make("span", { class: "letter" }, letter), ` ${model}`);

export const placesOf = (ranking) => new Map(ranking.results.map((result, place) => [result.index, place]));

function section(title, list, rankings) {
  const scored = rankings.filter(({ usage }) => usage);
  return make(
    "section",
    { class: "ranking", "aria-label": title },
    ...rankings.flatMap((ranking) => [
      ranking.compared ? nameOf(ranking) : null,
      ranking.usage ? figuresOf(ranking.usage, ranking.headers) : null,
    ]),
    list,
    ...scored.map(({ meta, headers }) => noteOf(meta, timingsOf(headers))),
  );
}

function listOf(hits, results, { topN, threshold }) {
  const kept = hits.slice(0, topN ?? hits.length);
  const list = make("ol", { class: hits.length > MANY ? "hits many" : "hits" }, ...kept);
  const below = threshold === null ? -1 : results.findIndex(({ details }) => details && details.probability < threshold);
  if (below >= 0 && below < kept.length) {
    const text = `Below ${threshold}: ${plural(hits.length - below, "document")}`;
    kept[below].before(make("li", { class: "threshold" }, text));
    for (const hit of kept.slice(below)) hit.classList.add("under");
  }
  if (kept.length < hits.length) list.append(make("li", { class: "rest help" }, `${plural(hits.length - kept.length, "more document")} not shown`));
  return list;
}

function hitOf(result, documents, ranking, ...heads) {
  const text = shown(documents[result.index] ?? "");
  const folded = foldedText(text);
  const facts = [`document ${result.index + 1}`];
  const { logit, document_tokens: tokens, kept_document_tokens: kept, is_lower_bound: longer } = result.details ?? {};
  if (result.details) facts.push(`logit ${signed(logit)}`);
  if (result.details && kept === tokens) facts.push(plural(tokens, "token"));
  return make(
    "li",
    { class: "hit", "data-index": result.index },
    ...heads,
    folded,
    make(
      "p",
      { class: "hit-facts" },
      facts.join(" · "),
      kept < tokens ? make("span", { class: "cut" }, ` · cut: ${count(kept)} of ${longer ? "at least " : ""}${count(tokens)} tokens read`) : null,
    ),
    ranking?.explain ? reasonOf(text, folded.closest(".hit-text") ?? folded.querySelector(".hit-text"), ranking) : null,
  );
}

const placeOf = (place) => make("span", { class: "place", "aria-hidden": "true" }, String(place + 1));

const scoreOf = ({ details }) => (details ? barOf(details.probability) : [make("span", { class: "hidden" }, "as it was given")]);

// content: what shows the text, as nodes and strings.
export function foldedText(text, content = [text]) {
  const paragraph = make("p", { class: "hit-text", dir: "auto" }, ...content);
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

function differenceOf(before, result) {
  if (!before?.details || !result.details) return null;
  const by = result.details.probability - before.details.probability;
  const text = Math.abs(by) < 0.0005 ? "±0" : `${by < 0 ? "−" : "+"}${Math.abs(by).toFixed(3)}`;
  return make("span", { class: "difference" }, text, make("span", { class: "hidden" }, " from A, "));
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
