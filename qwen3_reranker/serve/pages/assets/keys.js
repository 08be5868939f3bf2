// The page of one key: what it may still spend, and what it used, day by day.

import { call, failure } from "./client.js";
import { byId, count, dateOf, dollars, make } from "./dom.js";
import { drawPlot } from "./plot.js";

const MEASURES = ["input_tokens", "num_model_requests", "documents", "cost"];
const form = byId("ask");
const status = byId("status");
let days = [];
let asking = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const key = byId("key").value.trim();
  showWrong("");
  byId("account").hidden = true;
  status.textContent = "Asking …";
  try {
    const [account, usage] = await Promise.all([
      call("v1/key", { key, signal }),
      call("v1/usage?bucket_width=1d&limit=30", { key, signal }),
    ]);
    byId("account").hidden = false;
    showCredit(account.answer.data);
    days = usage.answer.data.map(summed);
    showDays();
    showModels(usage.answer.data);
    showTable(usage.answer.data);
    status.textContent = `Usage of ${account.answer.data.name ?? account.answer.data.label}`;
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) {
      // Words for whoever pasted a key, not for whoever writes a client.
      status.textContent = "";
      showWrong("This server does not know that key. Look whether all of it was pasted: it begins with qr_live_ and has no spaces. It may also have been revoked or have expired.");
    } else {
      status.replaceChildren(failure(error));
    }
  }
});

byId("key").addEventListener("input", () => showWrong(""));

function showWrong(text) {
  byId("key-wrong").textContent = text;
  if (!text) return byId("key").removeAttribute("aria-invalid");
  byId("key").setAttribute("aria-invalid", "true");
  byId("key").focus();
}

for (const radio of document.querySelectorAll("[name=measure]")) radio.addEventListener("change", showDays);
new ResizeObserver(showDays).observe(byId("plot"));

function showCredit(data) {
  const left = [];
  if (data.credit !== null) left.push([`left of ${dollars(data.credit)}`, dollars(data.credit_remaining)]);
  if (data.budget !== null) left.push([`left of ${dollars(data.budget)} a month`, dollars(data.budget_remaining)]);
  const spent = [
    ["spent in all", dollars(data.usage)],
    ["this month", dollars(data.usage_monthly)],
    ["today", dollars(data.usage_daily)],
  ];
  byId("credit").replaceChildren(...figures([...left, ...spent]));
  const most = (value) => (value === null ? "no limit" : count(value));
  byId("limits").replaceChildren(
    ...figures([
      ["requests a minute", most(data.requests_per_minute)],
      ["tokens a minute", most(data.tokens_per_minute)],
      ["requests at once", most(data.concurrency)],
      ["models", data.models === null ? "all" : data.models.join(", ")],
      ["expires", data.expires_at ? dateOf(data.expires_at) : "never"],
    ]),
  );
}

const figures = (pairs) => pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));

// What each model was used for in all days, the most used first.
function showModels(buckets) {
  const sums = new Map();
  for (const each of buckets.flatMap(({ results }) => results)) {
    const sum = sums.get(each.model) ?? Object.fromEntries(MEASURES.map((measure) => [measure, 0]));
    for (const measure of MEASURES) sum[measure] += each[measure];
    sums.set(each.model, sum);
  }
  const rows = [...sums].sort(([, one], [, other]) => other.input_tokens - one.input_tokens);
  fill("by-model", ["Model"], rows.map(([model, sum]) => [[model], sum]));
}

// A table of usage: cells of words, then one for each measure.
function fill(id, names, rows) {
  const heads = [...names, "Requests", "Documents", "Tokens", "Cost"];
  const body = rows.map(([words, each]) => {
    const numbers = [count(each.num_model_requests), count(each.documents), count(each.input_tokens), dollars(each.cost)];
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, words[0]),
      ...words.slice(1).map((word) => make("td", {}, word)),
      ...numbers.map((text) => make("td", { class: "figure" }, text)),
    );
  });
  if (!body.length) body.push(make("tr", {}, make("td", { colspan: heads.length }, "No requests yet.")));
  const head = heads.map((name, place) => make("th", { scope: "col", class: place >= names.length ? "figure" : null }, name));
  byId(id).replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}

// A day of all models.
function summed({ start_time: start, results }) {
  const sums = MEASURES.map((measure) => [measure, results.reduce((sum, each) => sum + each[measure], 0)]);
  return { start, ...Object.fromEntries(sums) };
}

function showDays() {
  if (!days.length || byId("account").hidden) return;
  const chosen = document.querySelector("[name=measure]:checked");
  const name = document.querySelector(`label[for=${chosen.id}]`).textContent;
  const write = chosen.value === "cost" ? dollars : count;
  const values = days.map((day) => ({ label: shortDate(day.start), value: day[chosen.value] }));
  drawPlot(byId("plot"), values, { name, write });
}

const showTable = (buckets) =>
  fill(
    "table",
    ["Day", "Model"],
    [...buckets].reverse().flatMap(({ start_time: start, results }) => results.map((each) => [[dateOf(start * 1000), each.model], each])),
  );

const shortDate = (start) =>
  new Date(start * 1000).toLocaleDateString("en", { month: "short", day: "numeric", timeZone: "UTC" });
