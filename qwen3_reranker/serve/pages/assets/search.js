// The search page: a query and filters -> passages of the indexed files, and how each was ranked.

import { Refusal, call, failure } from "./client.js";
import { barOf, byId, count, dollars, make, plural, seconds, signed } from "./dom.js";
import { foldedText } from "./results.js";
import { fragmentOf, stateOf } from "./state.js";

const BUDGETS = [0.2, 0.5, 1, 2, 5, 10, 30];

const form = byId("ask");
if (form) start();

function start() {
  const fields = { q: byId("query"), c: byId("collection"), p: byId("path"), b: byId("budget") };
  const [status, rankings, key, cancel] = ["status", "rankings", "key", "cancel"].map(byId);
  let running = null;

  const budget = () => BUDGETS[fields.b.value];

  function refresh() {
    byId("budget-shown").textContent = `${budget()} s`;
    fields.b.setAttribute("aria-valuetext", `${budget()} seconds`);
  }

  async function keep() {
    const state = Object.entries(fields).map(([name, { value }]) => [name, value]);
    const fragment = await fragmentOf(Object.fromEntries(state.filter(([name, value]) => value || name === "q")));
    history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
  }

  // Whether the address holds a query.
  async function restore() {
    const state = await stateOf(location.hash).catch(() => {
      status.textContent = "The link is damaged: nothing could be read from it.";
    });
    for (const [name, field] of Object.entries(state ? fields : {})) field.value = state[name] ?? field.defaultValue;
    refresh();
    return Boolean(state?.q);
  }

  async function run() {
    running?.abort();
    if (!form.reportValidity()) return;
    keep();
    const mine = (running = new AbortController());
    const asked = fields.q.value;
    const body = {
      query: asked,
      budget_seconds: budget(),
      ...(fields.c.value.trim() ? { collections: [fields.c.value.trim()] } : {}),
      ...(fields.p.value.trim() ? { path: fields.p.value.trim() } : {}),
    };
    key?.removeAttribute("aria-invalid");
    cancel.hidden = false;
    rankings.setAttribute("aria-busy", "true");
    status.textContent = "Searching …";
    let said = "Cancelled.";
    try {
      const { answer } = await call("v1/search", { body, key: key?.value.trim(), signal: mine.signal });
      byId("collections").replaceChildren(...answer.collections.map((value) => make("option", { value })));
      rankings.replaceChildren(foundOf(answer, asked));
      said = summaryOf(answer);
    } catch (error) {
      if (!mine.signal.aborted) {
        rankings.replaceChildren(failure(error));
        said = "";
        if (key && error instanceof Refusal && error.status === 401) {
          key.setAttribute("aria-invalid", "true");
          key.focus();
        }
      }
    }
    // A later search may have begun meanwhile.
    if (mine !== running) return;
    running = null;
    cancel.hidden = true;
    rankings.removeAttribute("aria-busy");
    status.textContent = said;
    const heading = byId("outcome-name");
    if (heading.getBoundingClientRect().top > innerHeight * 0.6) heading.scrollIntoView();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  fields.q.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    run();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
  });
  cancel.addEventListener("click", () => running?.abort());
  form.addEventListener("input", ({ target }) => {
    if (target === key) return;
    refresh();
    keep();
  });
  addEventListener("hashchange", restore);
  restore().then((isAsked) => {
    if (isAsked && !key) run();
  });
}

const summaryOf = ({ results, candidates, judged, cached, left_out: missing }) => {
  const late = missing.length ? ` There was no time for ${missing.join(" and ")}.` : "";
  if (!results.length) return `Nothing was found. Try other words, or fewer filters.${late}`;
  const known = cached ? `, ${count(cached)} of them known from an earlier search` : "";
  return `${plural(results.length, "document")}. ${count(judged)} of ${plural(candidates, "candidate")} judged${known}.${late}`;
};

function foundOf({ results, seconds: taken, usage, stale, warnings }, query) {
  const figures = [
    ["finding", seconds(taken.retrieving)],
    ["judging", seconds(taken.judging)],
    ["in all", seconds(taken.total)],
    ...(usage.cost === undefined ? [] : [["cost", dollars(usage.cost)]]),
  ];
  const notes = [
    ...warnings,
    stale.changed ? `${plural(stale.changed, "file")} changed since the index was updated` : "",
    stale.is_complete ? "" : "Not all folders could be looked through for changes",
  ].filter(Boolean);
  const marked = wordsOf(query);
  return make(
    "section",
    { class: "ranking", "aria-label": "Results" },
    make("dl", { class: "figures" }, ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    make("ol", { class: "hits" }, ...results.map((result, place) => hitOf(result, place, marked))),
    notes.length ? make("p", { class: "help" }, `${notes.join(". ")}.`) : null,
  );
}

function hitOf(result, place, marked) {
  const isJudged = result.probability !== null;
  const lines = result.first_line === result.last_line ? result.first_line : `${result.first_line}–${result.last_line}`;
  const scores = [
    isJudged ? `judged, logit ${signed(result.logit)}` : "first stage, not judged",
    result.bm25 === null ? "" : `BM25 ${result.bm25.toFixed(2)}`,
    result.cosine === null ? "" : `cosine ${result.cosine.toFixed(3)}`,
    result.truncated ? "cut: not all of it was read" : "",
  ];
  return make(
    "li",
    { class: "hit" },
    make("div", { class: "hit-head" }, make("span", { class: "place", "aria-hidden": "true" }, String(place + 1)), ...(isJudged ? barOf(result.probability) : [])),
    make("p", { class: "found-at" }, make("code", {}, `${result.path}:${result.part || lines}`), ` ${result.name}`),
    result.headings ? make("p", { class: "hit-facts" }, result.headings) : null,
    foldedText(result.text, highlighted(result.text, marked)),
    make("p", { class: "hit-facts" }, [...scores, result.collection].filter(Boolean).join(" · ")),
  );
}

// The words of a query as one pattern. Scripts without spaces between words give pairs of characters, as in the index.
function wordsOf(query) {
  const paired = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]+/gu;
  const pairs = [...query.matchAll(paired)].flatMap(([run]) => {
    const letters = [...run];
    return letters.length < 2 ? letters : letters.slice(1).map((letter, at) => letters[at] + letter);
  });
  const words = query.replace(paired, " ").match(/[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu) ?? [];
  // Short words are mostly "of" and "a"; they are marked if there are no others.
  const long = words.filter((word) => word.length > 3);
  const whole = (long.length ? long : words).map((word) => `(?<![\\p{L}\\p{N}])${word}(?![\\p{L}\\p{N}])`);
  return whole.length + pairs.length ? new RegExp([...whole, ...pairs].join("|"), "giu") : null;
}

function highlighted(text, marked) {
  const parts = [];
  let end = 0;
  for (const found of marked ? text.matchAll(marked) : []) {
    parts.push(text.slice(end, found.index), make("mark", {}, found[0]));
    end = found.index + found[0].length;
  }
  return [...parts, text.slice(end)];
}
