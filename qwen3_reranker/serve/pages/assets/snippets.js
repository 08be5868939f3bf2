// Tabs of code. Templates are those of snippets.py, which says how they are written.

import { byId } from "./dom.js";
import { startCopying } from "./copy.js";

const STEPS = { ArrowRight: 1, ArrowLeft: -1 };
const PLACE = /@(origin|path|opened|body|json|shell|documents|texts|model|query|instruction)@/g;
const WORDS = { true: "True", false: "False", null: "None" };

export function startTabs() {
  for (const list of document.querySelectorAll("[role=tablist]")) {
    const tabs = [...list.querySelectorAll("[role=tab]")];
    for (const [place, tab] of tabs.entries()) {
      tab.addEventListener("click", () => choose(tabs, tab));
      tab.addEventListener("keydown", (event) => {
        const target = { Home: 0, End: tabs.length - 1 }[event.key] ?? (event.key in STEPS ? place + STEPS[event.key] : null);
        if (target === null) return;
        event.preventDefault();
        const next = tabs[(target + tabs.length) % tabs.length];
        choose(tabs, next);
        next.focus();
      });
    }
  }
  startCopying();
}

function choose(tabs, chosen) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab === chosen));
    tab.tabIndex = tab === chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
  }
}

// The code of the request that `current` gives: in the open tab alone, as a request may have a thousand documents.
export function startSnippets(current) {
  const refresh = () => {
    const pre = document.querySelector("#snippets [role=tabpanel]:not([hidden]) pre");
    pre.textContent = filled(pre.dataset.template, current());
  };
  startTabs();
  for (const type of ["click", "keydown"]) document.querySelector("#snippets [role=tablist]").addEventListener(type, refresh);
  return refresh;
}

function filled(template, values) {
  const lines = template.split("\n").flatMap((line) => {
    const [condition, not, flag] = /^\?(!?)(\w+) /.exec(line) ?? [""];
    if (condition && Boolean(values[flag]) === Boolean(not)) return [];
    const text = line.slice(condition.length);
    const indent = /^ */.exec(text)[0];
    return [text.replace(PLACE, (_, name) => written(name, values, indent))];
  });
  return lines.join("\n");
}

function written(name, values, indent) {
  if (["origin", "path", "opened"].includes(name)) return values[name];
  const json = name === "json" || name === "shell";
  const text = JSON.stringify(json ? values.body : values[name], null, json ? 2 : 4);
  if (name === "shell") return `'${text.replaceAll("'", `'\\''`)}'`;
  const literal = json ? text : text.replace(/"(?:[^"\\]|\\.)*"|true|false|null/g, (found) => WORDS[found] ?? found);
  return literal.replaceAll("\n", `\n${indent}`);
}
