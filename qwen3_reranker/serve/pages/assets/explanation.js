// "Why?" below a result: the sentences of its document, the stronger the colour, the more one adds to the score.

import { failure } from "./client.js";
import { count, make, plural, signed } from "./dom.js";

// explain: asks the server to explain a text. explanations: its answers by text, which stay when the page is drawn
// again. paragraph: what shows the text.
export function reasonOf(text, paragraph, { explain, explanations }) {
  const button = make("button", { type: "button", class: "link why" }, "Why?");
  const told = make("div", { "aria-live": "polite" });
  const show = (answer) => {
    paragraph.replaceChildren(...heated(text, answer.sentences));
    told.replaceChildren(make("p", { class: "help" }, inWords(answer)));
    button.remove();
  };
  button.addEventListener("click", async () => {
    button.disabled = true;
    told.replaceChildren(make("p", { class: "help" }, "Leaving each sentence out …"));
    try {
      const { answer } = await explain(text);
      explanations.set(text, answer);
      show(answer);
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
  const most = Math.max(...sentences.map(({ contribution }) => contribution), Number.MIN_VALUE);
  return sentences.map(({ start, end, contribution }) => {
    const mark = make("mark", { class: "heat", title: `${signed(contribution)} to the logit` }, characters.slice(start, end).join(""));
    mark.style.setProperty("--heat", `${Math.round(45 * Math.max(0, contribution / most))}%`);
    return mark;
  });
}

function inWords({ sentences, usage }) {
  const cost = `${count(usage.prompt_tokens)} tokens, ${count(usage.computed_tokens)} computed`;
  const best = sentences.reduce((first, each) => (each.contribution > first.contribution ? each : first), sentences[0]);
  const found = best?.contribution > 0 ? `The sentence with the strongest colour adds ${best.contribution.toFixed(2)} to the logit` : "No sentence adds to the score";
  const unread = sentences.filter(({ is_read: read }) => !read).length;
  return `${found} · ${plural(sentences.length, "sentence")}${unread ? `, ${count(unread)} not read` : ""} · ${cost}`;
}
