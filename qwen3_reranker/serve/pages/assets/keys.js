// The page of one key: what it may still spend, and what it used, day by day.

import { call, failure } from "./client.js";
import { byId, count, dollars, make } from "./dom.js";
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
  byId("key").removeAttribute("aria-invalid");
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
    showTable(usage.answer.data);
    status.textContent = `Usage of ${account.answer.data.name ?? account.answer.data.label}`;
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
  const unlimited = data.limit === null;
  const figures = [
    unlimited ? ["limit", "none"] : [`left of ${dollars(data.limit)}`, dollars(data.limit_remaining)],
    ["used today", dollars(data.usage_daily)],
    ["this week", dollars(data.usage_weekly)],
    ["this month", dollars(data.usage_monthly)],
    ["in all", dollars(data.usage)],
    ["expires", data.expires_at ? dateOf(data.expires_at) : "never"],
  ];
  byId("credit").replaceChildren(
    ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
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

function showTable(buckets) {
  const columns = ["Day", "Model", "Requests", "Documents", "Tokens", "Cost"];
  const heads = columns.map((name, place) => make("th", { scope: "col", class: place > 1 ? "figure" : null }, name));
  const rows = [...buckets].reverse().flatMap(({ start_time: start, results }) =>
    results.map((each) => {
      const figures = [count(each.num_model_requests), count(each.documents), count(each.input_tokens), dollars(each.cost)];
      return make(
        "tr",
        {},
        make("th", { scope: "row" }, dateOf(start * 1000)),
        make("td", {}, each.model),
        ...figures.map((text) => make("td", { class: "figure" }, text)),
      );
    }),
  );
  if (!rows.length) rows.push(make("tr", {}, make("td", { colspan: columns.length }, "No requests yet.")));
  byId("table").replaceChildren(make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
}

// Days are those of UTC, as the server counts them.
const dateOf = (time) =>
  new Date(time).toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric", timeZone: "UTC" });

const shortDate = (start) =>
  new Date(start * 1000).toLocaleDateString("en", { month: "short", day: "numeric", timeZone: "UTC" });
