// "Why?" below a result: the sentences of its document, the stronger the colour, the better one answers alone; and what
// the document would score if something else were asked.

import { failure } from "./client.js";
import { barOf, count, make, plural, signed } from "./dom.js";

// explain: asks the server to explain a text, with further fields of the request. explanations: its answers by text,
// which stay when the page is drawn again. paragraph: what shows the text.
export function reasonOf(text, paragraph, { explain, explanations }) {
  const button = make("button", { type: "button", class: "link why" }, "Why?");
  const told = make("div", { "aria-live": "polite" });
  const show = (kept) => {
    paragraph.replaceChildren(...heated(text, kept.answer.sentences));
    told.replaceChildren(make("p", { class: "help" }, inWords(kept.answer)), othersOf(text, explain, kept));
    button.remove();
  };
  button.addEventListener("click", async () => {
    button.disabled = true;
    told.replaceChildren(make("p", { class: "help" }, "Scoring each sentence, and the text without it …"));
    try {
      const { answer } = await explain(text, {});
      const kept = { answer, asked: "", others: [] };
      explanations.set(text, kept);
      show(kept);
    } catch (error) {
      told.replaceChildren(failure(error));
      button.disabled = false;
    }
  });
  if (explanations.has(text)) show(explanations.get(text));
  return make("div", {}, explanations.has(text) ? null : button, told);
}

function heated(text, sentences) {
  // Places are counted in characters, of which JavaScript's strings may take two units.
  const characters = Array.from(text);
  const most = evidenceOf(sentences)?.alone;
  return sentences.map(({ start, end, alone, contribution, is_read: read }) => {
    const title = `${signed(alone)} alone, ${read ? `adds ${signed(contribution)}` : "not read"}`;
    const mark = make("mark", { class: "heat", title }, characters.slice(start, end).join(""));
    mark.style.setProperty("--heat", `${read ? Math.round(45 * Math.exp(alone - most)) : 0}%`);
    return mark;
  });
}

// The sentence that answers best alone, of those that were read.
function evidenceOf(sentences) {
  const read = sentences.filter(({ is_read: isRead }) => isRead);
  return read.reduce((best, each) => (best && best.alone >= each.alone ? best : each), null);
}

function inWords({ sentences, usage }) {
  const cost = `${count(usage.prompt_tokens)} tokens, ${count(usage.computed_tokens)} computed`;
  const best = evidenceOf(sentences);
  if (!best) return cost;
  const found = `The sentence with the strongest colour answers best: logit ${signed(best.alone)} alone, and it adds ${signed(best.contribution)} to the document's`;
  const unread = sentences.filter(({ is_read: read }) => !read).length;
  return `${found} · ${plural(sentences.length, "sentence")}${unread ? `, ${count(unread)} not read` : ""} · ${cost}`;
}

// A field for other instructions, and the document under each of them beside the one that it was ranked by.
function othersOf(text, explain, kept) {
  const field = make("textarea", { rows: 2, placeholder: "Find a recipe", "aria-label": "Other instructions, one a line" }, kept.asked);
  const button = make("button", { class: "quiet" }, "Explain under each");
  const list = make("ol", { class: "asked", "aria-live": "polite" }, ...listed(kept));
  const form = make("form", { class: "otherwise", hidden: !kept.asked }, field, button, list);
  const opener = make("button", { type: "button", class: "link", "aria-expanded": String(!form.hidden) }, "What if something else were asked?");
  opener.addEventListener("click", () => {
    form.hidden = !form.hidden;
    opener.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) field.focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const instructions = field.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!instructions.length || button.disabled) return;
    button.disabled = true;
    try {
      const { answer } = await explain(text, { instructions, leave_out: false });
      Object.assign(kept, { asked: field.value, others: answer.explanations });
      list.replaceChildren(...listed(kept));
    } catch (error) {
      list.replaceChildren(make("li", {}, failure(error)));
    }
    button.disabled = false;
  });
  return make("div", {}, opener, form);
}

function listed({ answer, others }) {
  if (!others.length) return [];
  return [{ ...answer, instruction: answer.instruction ?? "The model's own instruction" }, ...others].map((each) =>
    make(
      "li",
      {},
      make("p", {}, each.instruction),
      make("div", { class: "hit-head" }, ...barOf(each.probability), make("span", { class: "number" }, signed(each.logit))),
      make("p", { class: "help" }, evidenceOf(each.sentences)?.text ?? ""),
    ),
  );
}
