// Rankings -> files: a CSV for spreadsheets, a JSON that is exact.

import { make } from "./dom.js";
import { shown } from "./documents.js";

export function download(rankings, kind) {
  const text = kind === "csv" ? csvOf(rankings) : JSON.stringify(rankings, null, 2);
  const address = URL.createObjectURL(new Blob([text], { type: kind === "csv" ? "text/csv" : "application/json" }));
  make("a", { href: address, download: `ranking.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const COLUMNS = ["ranking", "model", "place", "document", "probability", "logit"];

function csvOf(rankings) {
  const rows = rankings.flatMap((ranking) =>
    ranking.results.map((each) => [
      ...COLUMNS.map((column) => each[column] ?? ranking[column] ?? ""),
      cell(shown(each.text)),
    ]),
  );
  return [[...COLUMNS, "text"], ...rows].map((row) => `${row.join(",")}\r\n`).join("");
}

// Spreadsheets run a text that begins like a formula, and documents come from anywhere.
const cell = (text) => `"${text.replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
