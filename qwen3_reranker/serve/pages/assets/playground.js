// The playground: a form -> one request, or two side by side -> rankings.

import { Refusal, call, failure, root } from "./client.js";
import { drawLines } from "./compare.js";
import { documentsOf, shown, textOf } from "./documents.js";
import { byId, make, plural, seconds } from "./dom.js";
import { download } from "./download.js";
import { mergedOf, nameOf, placesOf, rankingOf } from "./results.js";
import { startSnippets } from "./snippets.js";
import { fragmentOf, stateOf } from "./state.js";

const form = byId("ask");
if (form) start();

function start() {
  const [query, box, compare, status, rankings] = ["query", "documents", "compare", "status", "rankings"].map(byId);
  const [key, topN, threshold] = ["key", "top-n", "threshold"].map(byId);
  const sides = ["a", "b"].map((letter) => ({
    letter: letter.toUpperCase(),
    model: byId(`model-${letter}`),
    instruction: byId(`instruction-${letter}`),
  }));
  const narrow = matchMedia("(max-width: 48rem)");
  let running = null;
  let last = null;
  let keeping = 0;

  const bodyOf = (side, documents) => ({
    model: side.model.value,
    query: query.value,
    documents,
    ...(side.instruction.value.trim() ? { instruction: side.instruction.value.trim() } : {}),
    return_documents: false,
    return_details: true,
  });

  const refreshSnippets = startSnippets(() => {
    const [{ model, instruction }] = sides;
    const { repository, precision, backend } = model.selectedOptions[0].dataset;
    const { documents } = documentsOf(box.value);
    const options = [JSON.stringify(repository)];
    if (backend !== "cpu") options.push(`backend=${JSON.stringify(backend)}`);
    if (precision !== "float32") options.push(`precision=${JSON.stringify(precision)}`);
    const own = { model: model.value, query: query.value, documents };
    const asked = instruction.value.trim();
    return {
      ...own,
      origin: root.href.replace(/\/$/, ""),
      path: "/v1/rerank",
      opened: options.join(", "),
      texts: documents.map(shown),
      instruction: asked,
      body: asked ? { ...own, instruction: asked } : own,
      keys: byId("snippets").dataset.keys === "required",
    };
  });

  function refresh() {
    const { documents, how } = documentsOf(box.value);
    byId("documents-count").textContent = documents.length ? `${plural(documents.length, "document")}, ${how}` : "none yet";
    for (const { model, instruction } of sides) instruction.placeholder = model.selectedOptions[0].dataset.instruction ?? "";
    byId("side-b").hidden = !compare.checked;
    sides[1].instruction.disabled = !sides[1].model.value;
    byId("bench").classList.toggle("comparing", compare.checked);
    refreshSnippets();
  }

  // The state as strings, in the fields of state.js.
  function stateNow() {
    const [a, b] = sides;
    const fields = { q: query.value, d: box.value, m: a.model.value, i: a.instruction.value, n: topN.value, t: threshold.value };
    if (compare.checked) Object.assign(fields, { mb: b.model.value || "-", ib: b.instruction.value });
    return Object.fromEntries(Object.entries(fields).filter(([name, value]) => value || name === "q"));
  }

  async function keep({ inAddress = true } = {}) {
    const mine = ++keeping;
    const fragment = await fragmentOf(stateNow());
    // A later state may be packed sooner than this one.
    if (mine !== keeping) return;
    byId("link").textContent = `${root.href}#${fragment}`;
    byId("copy-link").disabled = !fragment;
    byId("copy-link").title = fragment ? "" : "The documents are too long for a link.";
    if (inAddress) history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
  }

  async function restore() {
    let state = null;
    try {
      state = await stateOf(location.hash);
    } catch {
      status.textContent = "The link is damaged: nothing could be read from it.";
    }
    if (!state) return;
    const [a, b] = sides;
    [query.value, box.value, topN.value, threshold.value] = [state.q ?? "", state.d ?? "", state.n ?? "", state.t ?? ""];
    choose(a.model, state.m);
    choose(b.model, state.mb === "-" ? "" : state.mb);
    [a.instruction.value, b.instruction.value] = [state.i ?? "", state.ib ?? ""];
    compare.checked = state.mb !== undefined;
    unpressExamples();
  }

  function choose(select, value) {
    if ([...select.options].some((option) => option.value === value)) select.value = value;
    else if (value) status.textContent = `The link names the model ${value}, which is not served here.`;
  }

  async function take(files) {
    if (!files.length) return;
    box.value = await textOf(files);
    changed();
  }

  function changed(pressed = null) {
    unpressExamples(pressed);
    refresh();
    keep();
  }

  function unpressExamples(pressed = null) {
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(chip === pressed));
  }

  async function run() {
    if (running) return;
    if (!form.reportValidity()) return;
    const { documents } = documentsOf(box.value);
    const asked = compare.checked ? sides : sides.slice(0, 1);
    running = new AbortController();
    const { signal } = running;
    key?.removeAttribute("aria-invalid");
    form.classList.add("running");
    byId("cancel").hidden = false;
    rankings.setAttribute("aria-busy", "true");
    const began = performance.now();
    status.textContent = "Ranking …";
    const outcomes = await Promise.all(asked.map((side) => outcomeOf(side, documents, signal)));
    if (document.activeElement === byId("cancel")) byId("rank").focus();
    running = null;
    form.classList.remove("running");
    byId("cancel").hidden = true;
    rankings.removeAttribute("aria-busy");
    if (signal.aborted) {
      status.textContent = "Cancelled.";
      return;
    }
    last = { documents, outcomes };
    show();
    const refused = outcomes.find(({ error }) => error instanceof Refusal && error.status === 401);
    if (refused && key) {
      key.setAttribute("aria-invalid", "true");
      key.focus();
    }
    // Below one another, what came of the form would lie out of sight.
    const heading = byId("outcome-name");
    if (!refused && heading.getBoundingClientRect().top > innerHeight * 0.6) heading.scrollIntoView();
    status.textContent = summaryOf(outcomes, (performance.now() - began) / 1000);
  }

  // A ranking, or the error instead of one.
  async function outcomeOf(side, documents, signal) {
    const about = { letter: side.letter, model: side.model.value, compared: compare.checked };
    if (!about.model) return { ...about, model: "Your order", results: documents.map((_, index) => ({ index })) };
    const body = bodyOf(side, documents);
    try {
      const { answer, headers } = await call("v1/rerank", { body, key: key?.value.trim(), signal });
      const { results, usage, meta } = answer;
      const { model, query, instruction } = body;
      const explain = (document, more) => call("v1/explain", { body: { model, query, instruction, document, ...more }, key: key?.value.trim() });
      return { ...about, query, instruction: instruction ?? "", results, usage, meta, headers, explain, explanations: new Map() };
    } catch (error) {
      return { ...about, error };
    }
  }

  function show() {
    if (!last) return;
    const { documents, outcomes } = last;
    const [first, second] = outcomes;
    const view = { topN: numberOf(topN), threshold: numberOf(threshold) };
    const merged = second && narrow.matches && !first.error && !second.error;
    const written = merged
      ? [() => mergedOf(first, second, documents, view)]
      : outcomes.map((outcome) => () => {
          if (outcome.error) return make("div", {}, second ? nameOf(outcome) : null, failure(outcome.error));
          return rankingOf(outcome, documents, view, outcome === second && !first.error ? first : null);
        });
    const columns = written.map((write) => make("div", { class: "column" }, contentOf(write)));
    rankings.replaceChildren(...columns);
    rankings.classList.toggle("two", columns.length > 1);
    byId("view").hidden = !outcomes.some(({ results }) => results?.length);
    drawLines(rankings);
  }

  const downloaded = () =>
    last.outcomes
      .filter(({ usage }) => usage)
      .map(({ letter, model, query: asked, instruction, results }) => ({
        ranking: letter,
        model,
        query: asked,
        instruction,
        results: results.slice(0, numberOf(topN) ?? results.length).map(({ index, details }, place) => ({
          place: place + 1,
          document: index + 1,
          probability: details.probability,
          logit: details.logit,
          text: last.documents[index],
        })),
      }));

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
  });
  byId("cancel").addEventListener("click", () => running?.abort());
  form.addEventListener("input", ({ target }) => {
    if (target === key) return;
    if (target === query || target === box) unpressExamples();
    refresh();
    keep();
  });
  byId("view").addEventListener("input", () => {
    show();
    keep();
  });
  for (const kind of ["csv", "json"]) byId(`download-${kind}`).addEventListener("click", () => download(downloaded(), kind));
  byId("files").addEventListener("change", (event) => take(event.target.files));
  box.addEventListener("dragover", (event) => event.preventDefault());
  box.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  for (const chip of document.querySelectorAll(".chip")) {
    chip.addEventListener("click", () => {
      query.value = chip.dataset.query;
      box.value = chip.dataset.documents;
      sides[0].instruction.value = chip.dataset.instruction;
      // One difference at a time: another model with the same instruction, or the same model with another.
      const sameModel = sides[0].model.value === sides[1].model.value;
      sides[1].instruction.value = sameModel ? chip.dataset.other : chip.dataset.instruction;
      changed(chip);
    });
  }
  for (const type of ["pointerover", "focusin"]) rankings.addEventListener(type, (event) => pointOut(rankings, event.target));
  rankings.addEventListener("pointerleave", () => pointOut(rankings, null));
  new ResizeObserver(() => drawLines(rankings)).observe(rankings);
  narrow.addEventListener("change", show);
  addEventListener("hashchange", () => restore().then(refresh));

  refresh();
  restore().then(() => {
    refresh();
    keep({ inAddress: false });
  });
}

const numberOf = (input) => (input.value.trim() && input.validity.valid ? Number(input.value) : null);

function contentOf(write) {
  try {
    return write();
  } catch (error) {
    return failure(error);
  }
}

function summaryOf(outcomes, elapsed) {
  const done = outcomes.filter(({ error }) => !error);
  if (done.length < outcomes.length) return done.length ? "One of the two requests failed." : "";
  const [first, second] = done;
  if (!second) {
    const name = first.results.length ? ` The best is document ${first.results[0].index + 1}.` : "";
    return `Ranked ${plural(first.results.length, "document")} in ${seconds(elapsed)}.${name}`;
  }
  const places = placesOf(first);
  const moved = second.results.filter((result, place) => places.get(result.index) !== place).length;
  return `${moved} of ${plural(second.results.length, "document")} ${moved === 1 ? "has" : "have"} another place in B.`;
}

// In two rankings, the same document on both sides, and the line between them.
function pointOut(rankings, target) {
  const index = target?.closest?.(".hit")?.dataset.index;
  for (const each of rankings.querySelectorAll(".twin")) each.classList.remove("twin");
  if (index === undefined || !rankings.classList.contains("two")) return;
  for (const each of rankings.querySelectorAll(`[data-index="${index}"]`)) each.classList.add("twin");
}
