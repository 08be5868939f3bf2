// The table of models, sorted by the column whose head is pressed; what a model has no value for comes last.

import { byId } from "./dom.js";

const table = byId("models");
const heads = [...table.querySelectorAll("thead th")];

for (const [column, head] of heads.entries()) {
  head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.children[column].dataset.key;
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      if (!key(one) || !key(other)) return Number(!key(one)) - Number(!key(other));
      const by = column === 0 ? key(one).localeCompare(key(other)) : Number(key(one)) - Number(key(other));
      return down ? -by : by;
    });
    table.tBodies[0].append(...rows);
  });
}
