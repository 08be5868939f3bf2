// A request as code that runs as it stands. A JSON string is also a Python string, and lists of them are lists.

import { byId } from "./dom.js";
import { startCopying } from "./copy.js";

const VARIABLE = "QWEN3_RERANKER_KEY";

export function snippetsOf({ origin, model, repository, options, query, documents, instruction, keys }) {
  const body = { model, query, documents, ...(instruction ? { instruction } : {}) };
  const json = JSON.stringify(body, null, 2);
  const list = indented(JSON.stringify(documents, null, 4), 4);
  const header = keys ? ` \\\n  -H "Authorization: Bearer $${VARIABLE}"` : "";
  const key = keys ? `os.environ["${VARIABLE}"]` : `"none"`;
  return {
    curl: `curl ${quoted(`${origin}/v1/rerank`)} \\\n  -H 'Content-Type: application/json'${header} \\\n  -d ${quoted(json)}\n`,
    http: [
      ...(keys ? ["import os", ""] : []),
      "import httpx",
      "",
      "response = httpx.post(",
      `    ${JSON.stringify(`${origin}/v1/rerank`)},`,
      ...(keys ? [`    headers={"Authorization": "Bearer " + ${key}},`] : []),
      `    json=${indented(JSON.stringify(body, null, 4), 4)},`,
      "    timeout=60,",
      ")",
      "response.raise_for_status()",
      'for result in response.json()["results"]:',
      '    print(result["index"], result["relevance_score"])',
      "",
    ].join("\n"),
    cohere: [
      ...(keys ? ["import os", ""] : []),
      "import cohere",
      "",
      `client = cohere.ClientV2(api_key=${key}, base_url=${JSON.stringify(origin)})`,
      "response = client.rerank(",
      `    model=${JSON.stringify(model)},`,
      `    query=${JSON.stringify(query)},`,
      `    documents=${list},`,
      ...(instruction
        ? [`    request_options={"additional_body_parameters": {"instruction": ${JSON.stringify(instruction)}}},`]
        : []),
      ")",
      "for result in response.results:",
      "    print(result.index, result.relevance_score)",
      "",
    ].join("\n"),
    library: [
      "from qwen3_reranker import Reranker",
      "",
      `reranker = Reranker(${[JSON.stringify(repository), ...options].join(", ")})`,
      "ranking = reranker.rank(",
      `    ${JSON.stringify(query)},`,
      `    ${list},`,
      ...(instruction ? [`    instruction=${JSON.stringify(instruction)},`] : []),
      ")",
      "for hit in ranking:",
      "    print(hit.index, hit.probability)",
      "",
    ].join("\n"),
  };
}

// Shows the request that `current` gives whenever a tab is opened or `refresh` is called.
export function startSnippets(current) {
  const tabs = [...document.querySelectorAll("#snippets [role=tab]")];
  const panelOf = (tab) => byId(tab.getAttribute("aria-controls"));
  const choose = (tab) => {
    for (const each of tabs) {
      each.setAttribute("aria-selected", String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
      panelOf(each).hidden = each !== tab;
    }
  };
  const step = { ArrowRight: 1, ArrowLeft: -1 };
  for (const [place, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const target =
        event.key === "Home" ? 0 : event.key === "End" ? tabs.length - 1 : event.key in step ? place + step[event.key] : -2;
      if (target === -2) return;
      event.preventDefault();
      const next = tabs[(target + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  }
  startCopying();
  return () => {
    for (const [name, text] of Object.entries(snippetsOf(current()))) byId(`snippet-${name}-text`).textContent = text;
  };
}

const quoted = (text) => (/^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

const indented = (text, spaces) => text.replaceAll("\n", `\n${" ".repeat(spaces)}`);
