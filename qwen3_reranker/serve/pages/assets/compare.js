// Lines between two rankings of the same documents, from every place in the first to that in the second.

import { shape } from "./dom.js";

export function drawLines(rankings) {
  rankings.querySelector(".slopes")?.remove();
  const [from, to] = [...rankings.querySelectorAll(".hits")].map((list) => [...list.querySelectorAll(".hit")]);
  if (!from?.length || !to?.length) return;
  const room = rankings.getBoundingClientRect();
  const left = from[0].getBoundingClientRect().right - room.left;
  const width = to[0].getBoundingClientRect().left - room.left - left;
  if (width < 20) return;
  // Heads are of one height. Measuring each would lay out what is out of sight, which takes seconds for a thousand.
  const [head, hit] = [from[0].firstElementChild, from[0]].map((node) => node.getBoundingClientRect());
  const down = head.top - hit.top + head.height / 2 - room.top;
  const middle = (each) => Math.round(each.getBoundingClientRect().top + down);
  const ends = new Map(to.map((hit, place) => [hit.dataset.index, [place, middle(hit)]]));
  const lines = shape("svg", { class: "slopes", width, height: room.height, "aria-hidden": "true" });
  for (const [place, hit] of from.entries()) {
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
