// The page of one key: what it may still spend, and what it used, day by day.

import { call, failure } from "./client.js";
import { byId, count, dollars, make } from "./dom.js";
import { drawPlot } from "./plot.js";

const DAY = 86400;
const DAYS = 30;
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
  byId("key").removeAttribute("aria-invalid");
  byId("account").hidden = true;
  status.textContent = "Asking …";
  try {
    const [account, usage] = await Promise.all([
      call("v1/key", { key, signal }),
      call("v1/usage?bucket=day", { key, signal }),
    ]);
    byId("account").hidden = false;
    showCredit(account.data ?? {});
    days = lastDays(usage.data ?? []);
    showDays();
    showTable(usage.data ?? []);
    status.textContent = account.data?.label ? `Usage of ${account.data.label}` : "Usage of this key";
  } catch (error) {
    if (error.name === "AbortError") return;
    status.replaceChildren(failure(error));
    if (error.status === 401) {
      byId("key").setAttribute("aria-invalid", "true");
      byId("key").focus();
    }
  }
});

for (const radio of document.querySelectorAll("[name=measure]")) radio.addEventListener("change", showDays);
new ResizeObserver(showDays).observe(byId("plot"));

function showCredit(data) {
  const unlimited = data.limit === null || data.limit === undefined;
  const expires = data.expires_at ? dateOf(data.expires_at) : "never";
  const figures = [
    unlimited ? ["limit", "none"] : [`left of ${dollars(data.limit)}`, dollars(data.limit_remaining)],
    ["used today", dollars(data.usage_daily)],
    ["this week", dollars(data.usage_weekly)],
    ["this month", dollars(data.usage_monthly)],
    ["in all", dollars(data.usage)],
    ["expires", expires],
  ];
  byId("credit").replaceChildren(
    ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

// One entry a day, also for days without requests; the sum of all models.
function lastDays(rows) {
  const today = Math.floor(Date.now() / 1000 / DAY) * DAY;
  const byStart = new Map();
  for (let start = today - (DAYS - 1) * DAY; start <= today; start += DAY) {
    byStart.set(start, { start, prompt_tokens: 0, requests: 0, documents: 0, cost: 0 });
  }
  for (const row of rows) {
    const day = byStart.get(Math.floor(row.start / DAY) * DAY);
    if (!day) continue;
    for (const measure of ["prompt_tokens", "requests", "documents", "cost"]) day[measure] += Number(row[measure] ?? 0);
  }
  return [...byStart.values()];
}

function showDays() {
  if (!days.length || byId("account").hidden) return;
  const chosen = document.querySelector("[name=measure]:checked");
  const name = document.querySelector(`label[for=${chosen.id}]`).textContent;
  const write = chosen.value === "cost" ? dollars : count;
  const values = days.map((day) => ({ label: shortDate(day.start), value: day[chosen.value] }));
  drawPlot(byId("plot"), values, { name, write });
}

function showTable(rows) {
  const columns = ["Day", "Model", "Requests", "Documents", "Tokens", "Cost"];
  const head = make("tr", {}, ...columns.map((name, place) => make("th", { scope: "col", class: place > 1 ? "figure" : null }, name)));
  const body = [...rows]
    .sort((one, other) => other.start - one.start)
    .map((row) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, dateOf(row.start)),
        make("td", {}, String(row.model ?? "–")),
        ...[count(row.requests), count(row.documents), count(row.prompt_tokens), dollars(row.cost)].map((text) =>
          make("td", { class: "figure" }, text),
        ),
      ),
    );
  if (!body.length) body.push(make("tr", {}, make("td", { colspan: "6" }, "No requests yet.")));
  byId("table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
}

// Days are those of UTC, as the server counts them.
function dateOf(value) {
  const date = typeof value === "number" ? new Date(value * 1000) : new Date(value);
  return Number.isNaN(date.getTime())
    ? "–"
    : date.toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric", timeZone: "UTC" });
}

const shortDate = (start) =>
  new Date(start * 1000).toLocaleDateString("en", { month: "short", day: "numeric", timeZone: "UTC" });
