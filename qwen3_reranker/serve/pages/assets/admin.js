// The page of administrators: all keys, what each may do and has used, and every change of one.

import { Refusal, call, failure } from "./client.js";
import { startCopying } from "./copy.js";
import { byId, count, dateOf, dollars, make, plural } from "./dom.js";

const PAGE = 100;
const NUMBERS = ["requests_per_minute", "tokens_per_minute", "concurrency", "budget", "credit"];
// By name of the dialog: what its buttons say, and what is said when it is done.
const ACTIONS = { edit: ["Change", "Changed"], "top-up": ["Top up", "Topped up"], rotate: ["Rotate", "Rotated"], revoke: ["Revoke", "Revoked"] };
// Words for an operator at a page, not for the writer of a client.
const PLAIN = {
  invalid_api_key: "This server does not know that key. Look whether all of it was pasted. It may also have been revoked or rotated, or have expired.",
  permission_denied: "This key lacks the scope admin. The command line makes one that has it: qwen3-reranker keys create operator --scopes admin",
  last_admin: "This is the last valid key with the scope admin. Create another one first: without one, nobody can use this page.",
  idempotency_key_reused: "The credit was already granted, with another amount. Show the keys again to see it.",
};
const LOST = "No answer came. The change may have been made all the same: show the keys again before you repeat it.";

const keys = new Map();
let admin = "";
// What the open dialog is about: its name, its key (null for a new one), the fields of that key, the name of a top-up.
let about = { action: "", key: null, fields: {}, topUp: "" };

const own = ({ label }) => admin.startsWith(label.replace(/\.\.\.$/, ""));
const say = (words) => byId("status").replaceChildren(words);
const ask = (path, options) => call(path, { key: admin, signal: AbortSignal.timeout(30_000), ...options });

// What each dialog asks the server for; null where nothing is to change.
const REQUESTS = {
  edit(form, { key, fields }) {
    const now = fieldsOf(form);
    if (!key) return ["", { body: now }];
    const changed = Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(fields[name]));
    return changed.length ? ["", { method: "PATCH", body: Object.fromEntries(changed) }] : null;
  },
  "top-up": (form, { topUp }) => ["/top-up", { body: { dollars: Number(form.dollars.value) }, headers: { "idempotency-key": topUp } }],
  rotate: (form) => ["/rotate", { body: { grace: form.grace.value } }],
  revoke: () => ["/revoke", { method: "POST" }],
};

startCopying();
onSubmit(byId("ask"), async () => {
  admin = byId("key").value.trim();
  keys.clear();
  byId("all").hidden = true;
  say("");
  await load();
});
byId("ended").addEventListener("change", show);
byId("more").addEventListener("click", () => load([...keys.keys()].at(-1)).catch((error) => say(failure(plain(error)))));
document.addEventListener("click", ({ target }) => {
  if (target.dataset.action) open(target.dataset.action, keys.get(target.dataset.id) ?? null);
  if (target.dataset.closes !== undefined && !target.form.ariaBusy) target.closest("dialog").close();
});
for (const dialog of document.querySelectorAll("dialog")) {
  // Nothing is closed that waits for an answer, or that shows what cannot be shown again.
  dialog.addEventListener("cancel", (event) => {
    if (dialog.id === "secret" || dialog.firstElementChild.ariaBusy) event.preventDefault();
  });
  dialog.addEventListener("close", () => {
    if (dialog.id === "secret") byId("secret-text").textContent = "";
    if (document.querySelector("dialog[open]")) return;
    // The row, and the button in it, may have been made again.
    const openers = [...document.querySelectorAll(`[data-action="${about.action}"]`)];
    (openers.find(({ dataset }) => dataset.id === about.key?.id) ?? byId("all-name")).focus();
  });
}
for (const [action, request] of Object.entries(REQUESTS)) {
  onSubmit(byId(action).firstElementChild, async (form) => {
    const asked = request(form, about);
    if (asked) {
      const { answer } = await ask(`v1/keys${about.key ? `/${about.key.id}` : ""}${asked[0]}`, asked[1]);
      if (answer.key && about.key && own(about.key)) admin = byId("key").value = answer.key;
      keys.set(answer.data.id, answer.data);
      show();
      say(`${about.key ? ACTIONS[action][1] : "Created"}: ${answer.data.name}`);
      byId("secret-text").textContent = answer.key ?? "";
      if (answer.key) appear("secret", answer.data);
    }
    byId(action).close();
  });
}

// Runs what a form asks for, once at a time, and says in the form what fails.
function onSubmit(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy) return;
    form.ariaBusy = "true";
    clear(form);
    await work(form).catch((error) => form.querySelector(".outcome").replaceChildren(failure(plain(error, form))));
    form.ariaBusy = null;
  });
}

function clear(form) {
  form.querySelector(".outcome").replaceChildren();
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

// An error in plain words; the field that the server names is marked.
function plain(error, form) {
  if (!(error instanceof Refusal)) return error;
  const words = PLAIN[error.code] ?? (error.status >= 400 || form?.id === "ask" ? error.message : LOST);
  const field = error.param && form?.querySelector(`[name="${CSS.escape(error.param)}"]`);
  if (!field) return new Refusal(words, error);
  field.setAttribute("aria-invalid", "true");
  field.focus();
  const label = field.closest("fieldset")?.querySelector("legend") ?? field.labels[0];
  return new Refusal(words.replace(/^`\w+`/, label.textContent), error);
}

async function load(after) {
  const { answer } = await ask(`v1/keys?limit=${PAGE}${after ? `&after=${after}` : ""}`);
  for (const key of answer.data) keys.set(key.id, key);
  byId("more").hidden = !answer.has_more;
  byId("all").hidden = false;
  show();
  say(plural(keys.size, "key") + (answer.has_more ? ", and more" : ""));
}

function open(action, key) {
  const form = byId(action).firstElementChild;
  form.reset();
  clear(form);
  about = { action, key };
  if (action === "top-up") about.topUp = crypto.getRandomValues(new Uint32Array(4)).join("-");
  if (action === "edit") {
    byId("edit-name").firstElementChild.textContent = key ? "Change" : "Create a key";
    form.querySelector("[type=submit]").textContent = key ? "Save" : "Create";
    for (const name of key ? ["name", "expires_at", ...NUMBERS] : []) form.elements[name].value = key[name] ?? "";
    if (key) form.elements.models.value = key.models?.join(", ") ?? "";
    for (const box of key ? form.elements.scopes : []) box.checked = key.scopes.includes(box.value);
    about.fields = fieldsOf(form);
  }
  appear(action, key);
}

function appear(id, key) {
  byId(id).querySelector("bdi").textContent = key?.name ?? "";
  byId(id).showModal();
}

// What a form says, in the fields of /v1/keys: null for what is not limited.
function fieldsOf(form) {
  const data = new FormData(form);
  const text = (name) => data.get(name).trim();
  const models = text("models").split(",").map((model) => model.trim()).filter(Boolean);
  return {
    name: text("name"),
    scopes: data.getAll("scopes"),
    models: models.length ? models : null,
    expires_at: text("expires_at") || null,
    ...Object.fromEntries(NUMBERS.map((name) => [name, text(name) ? Number(text(name)) : null])),
  };
}

function show() {
  const shown = [...keys.values()].filter(({ state }) => state === "active" || byId("ended").checked);
  byId("rows").replaceChildren(...shown.map(row));
}

function row(key) {
  const limits = [[key.requests_per_minute, "requests a minute"], [key.tokens_per_minute, "tokens a minute"], [key.concurrency, "at once"]]
    .filter(([value]) => value !== null)
    .map(([value, words]) => `${count(value)} ${words}`);
  const cells = [
    ["May use", key.scopes.join(", "), key.models?.join(", ") ?? "all models"],
    ["Limits", ...(limits.length ? limits : ["none"])],
    ["This month", dollars(key.usage_monthly), key.budget === null ? "no budget" : `of ${dollars(key.budget)}`],
    ["Credit left", ...(key.credit === null ? ["no limit"] : [dollars(key.credit_remaining), `of ${dollars(key.credit)}`])],
    ["Last used", key.last_used_at ? dateOf(key.last_used_at) : "never", ...(key.expires_at ? [`expires ${dateOf(key.expires_at)}`] : [])],
  ];
  const actions = Object.keys(key.state === "revoked" ? {} : ACTIONS).filter((action) => action !== "top-up" || key.credit !== null);
  const buttons = actions.map((action) => {
    const [word] = ACTIONS[action];
    return make("button", { type: "button", class: "link", "data-action": action, "data-id": key.id, "aria-label": `${word} ${key.name}` }, word);
  });
  return make(
    "tr",
    {},
    make(
      "th",
      { scope: "row" },
      make("bdi", {}, key.name),
      " ",
      make("b", { class: `status-badge ${key.state === "active" ? "live" : ""}` }, key.state),
      make("span", {}, key.label, own(key) ? " (this page's key)" : ""),
    ),
    ...cells.map(([name, first, ...rest]) => make("td", { "data-head": name }, first, ...rest.map((text) => make("span", {}, text)))),
    make("td", { class: "changes" }, ...buttons),
  );
}
