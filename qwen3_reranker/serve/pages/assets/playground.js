// The playground: a form -> one request, or two side by side -> rankings.

import { Refusal, call, failure, root } from "./client.js";
import { documentsOf, textOf } from "./documents.js";
import { byId, make, plural, seconds } from "./dom.js";
import { placesOf, rankingOf } from "./results.js";
import { startSnippets } from "./snippets.js";

const form = byId("ask");
if (form) start();

function start() {
  const [query, box, compare, status, rankings] = ["query", "documents", "compare", "status", "rankings"].map(byId);
  const sides = ["a", "b"].map((letter) => ({
    letter: letter.toUpperCase(),
    model: byId(`model-${letter}`),
    instruction: byId(`instruction-${letter}`),
  }));
  const key = byId("key");
  let running = null;

  const bodyOf = (side) => ({
    model: side.model.value,
    query: query.value,
    documents: documentsOf(box.value).documents,
    ...(side.instruction.value.trim() ? { instruction: side.instruction.value.trim() } : {}),
    return_documents: false,
    return_details: true,
  });

  const refreshSnippets = startSnippets(() => {
    const [{ model, instruction }] = sides;
    const { repository, precision, backend } = model.selectedOptions[0].dataset;
    const options = [];
    if (backend !== "cpu") options.push(`backend=${JSON.stringify(backend)}`);
    if (precision !== "float32") options.push(`precision=${JSON.stringify(precision)}`);
    return {
      origin: root.href.replace(/\/$/, ""),
      model: model.value,
      repository,
      options,
      query: query.value,
      documents: documentsOf(box.value).documents,
      instruction: instruction.value.trim(),
      keys: byId("snippets").dataset.keys === "required",
    };
  });

  function refresh() {
    const { documents, how } = documentsOf(box.value);
    byId("documents-count").textContent = documents.length ? `${plural(documents.length, "document")}, ${how}` : "none yet";
    for (const { model, instruction } of sides) instruction.placeholder = model.selectedOptions[0].dataset.instruction;
    refreshSnippets();
  }

  function showSides() {
    byId("side-b").hidden = !compare.checked;
    byId("bench").classList.toggle("comparing", compare.checked);
  }

  async function take(files) {
    if (!files.length) return;
    box.value = await textOf(files);
    unpressExamples();
    refresh();
  }

  function unpressExamples(pressed = null) {
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(chip === pressed));
  }

  async function run() {
    if (running) return;
    if (!form.reportValidity()) return;
    const asked = compare.checked ? sides : sides.slice(0, 1);
    const bodies = asked.map(bodyOf);
    running = new AbortController();
    const { signal } = running;
    key?.removeAttribute("aria-invalid");
    form.classList.add("running");
    byId("cancel").hidden = false;
    rankings.setAttribute("aria-busy", "true");
    const began = performance.now();
    status.textContent = "Ranking …";
    const outcomes = await Promise.allSettled(
      bodies.map((body) => call("v1/rerank", { body, key: key?.value.trim(), signal })),
    );
    if (document.activeElement === byId("cancel")) byId("rank").focus();
    running = null;
    form.classList.remove("running");
    byId("cancel").hidden = true;
    rankings.removeAttribute("aria-busy");
    if (signal.aborted) {
      status.textContent = "Cancelled.";
      return;
    }
    show(asked, bodies, outcomes);
    // Below one another, what came of the form would lie out of sight.
    const heading = byId("outcome-name");
    if (heading.getBoundingClientRect().top > innerHeight * 0.8) heading.scrollIntoView();
    status.textContent = summaryOf(outcomes, (performance.now() - began) / 1000);
  }

  function show(asked, bodies, outcomes) {
    const first = outcomes[0].status === "fulfilled" ? placesOf(outcomes[0].value) : null;
    rankings.replaceChildren(
      ...outcomes.map((outcome, place) => {
        const { letter, model } = asked[place];
        const head =
          asked.length > 1
            ? make("h3", { class: "side-name" }, make("span", { class: "letter" }, letter), ` ${model.value}`)
            : null;
        const about =
          asked.length > 1
            ? { title: `Ranking ${letter}`, before: (place && first) || new Map() }
            : { title: "Ranking", before: null };
        return make("div", { class: "column" }, head, contentOf(outcome, bodies[place].documents, about));
      }),
    );
    rankings.classList.toggle("two", asked.length > 1);
    const refused = outcomes.find((outcome) => outcome.reason instanceof Refusal && outcome.reason.status === 401);
    if (refused && key) {
      key.setAttribute("aria-invalid", "true");
      key.focus();
    }
  }

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
  form.addEventListener("input", (event) => {
    if (event.target === query || event.target === box) unpressExamples();
    refresh();
  });
  compare.addEventListener("change", showSides);
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
      unpressExamples(chip);
      refresh();
    });
  }
  for (const type of ["pointerover", "focusin"]) rankings.addEventListener(type, (event) => pointOut(rankings, event.target));
  rankings.addEventListener("pointerleave", () => pointOut(rankings, null));

  showSides();
  refresh();
}

function contentOf(outcome, documents, about) {
  if (outcome.status === "rejected") return failure(outcome.reason);
  try {
    return rankingOf(outcome.value, documents, about);
  } catch {
    return failure(null);
  }
}

function summaryOf(outcomes, elapsed) {
  const answers = outcomes.filter((outcome) => outcome.status === "fulfilled").map((outcome) => outcome.value);
  if (answers.length < outcomes.length) return answers.length ? "One of the two requests failed." : "";
  const [first, second] = answers;
  const best = first.answer.results[0];
  if (!second) {
    const name = best ? ` The best is document ${best.index + 1}.` : "";
    return `Ranked ${plural(first.answer.results.length, "document")} in ${seconds(elapsed)}.${name}`;
  }
  const places = placesOf(first);
  const moved = second.answer.results.filter((result, place) => places.get(result.index) !== place).length;
  return `${moved} of ${plural(second.answer.results.length, "document")} ${moved === 1 ? "has" : "have"} another place in B.`;
}

// In two rankings, the same document on both sides.
function pointOut(rankings, target) {
  const index = target?.closest?.(".hit")?.dataset.index;
  for (const hit of rankings.querySelectorAll(".hit")) {
    hit.classList.toggle("twin", rankings.classList.contains("two") && hit.dataset.index === index);
  }
}
