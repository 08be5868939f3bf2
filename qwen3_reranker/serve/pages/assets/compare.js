// Lines between two rankings of the same documents, from every place in the first to that in the second.

import { shape } from "./dom.js";

export function drawLines(rankings) {
  rankings.querySelector(".slopes")?.remove();
  const [from, to] = [...rankings.querySelectorAll(".hits")];
  if (!from?.children.length || !to?.children.length) return;
  const room = rankings.getBoundingClientRect();
  const left = from.firstElementChild.getBoundingClientRect().right - room.left;
  const width = to.firstElementChild.getBoundingClientRect().left - room.left - left;
  if (width < 20) return;
  const middle = (hit) => {
    const head = hit.firstElementChild.getBoundingClientRect();
    return Math.round(head.top - room.top + head.height / 2);
  };
  const ends = new Map([...to.querySelectorAll(".hit")].map((hit, place) => [hit.dataset.index, [place, middle(hit)]]));
  const lines = shape("svg", { class: "slopes", width, height: room.height, "aria-hidden": "true" });
  for (const [place, hit] of [...from.querySelectorAll(".hit")].entries()) {
    const index = hit.dataset.index;
    if (!ends.has(index)) continue;
    const [other, end] = ends.get(index);
    const begin = middle(hit);
    const d = `M4 ${begin}C${width / 2} ${begin} ${width / 2} ${end} ${width - 4} ${end}`;
    const moved = other < place ? "up" : other > place ? "down" : "same";
    lines.append(shape("path", { d, class: moved, "data-index": index }));
  }
  lines.style.left = `${left}px`;
  rankings.append(lines);
}
