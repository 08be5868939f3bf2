// A plot of bars as SVG, drawn for the width there is.

import { make, shape } from "./dom.js";

const HEIGHT = 220;
const BELOW = 26;
const ABOVE = 12;

export function drawPlot(figure, values, { name, write }) {
  const width = Math.max(280, figure.clientWidth);
  const top = niceTop(Math.max(...values.map(({ value }) => value)));
  const ticks = [0, top / 2, top];
  const left = 12 + 7.5 * Math.max(...ticks.map((tick) => write(tick).length));
  const step = (width - left) / values.length;
  const down = (value) => ABOVE + (HEIGHT - ABOVE - BELOW) * (1 - value / top);
  const total = values.reduce((sum, { value }) => sum + value, 0);
  const most = values.reduce((best, each) => (each.value > best.value ? each : best));
  const node = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-labelledby": "plot-title plot-text" });
  node.append(
    shape("title", { id: "plot-title" }, `${name} a day`),
    shape("desc", { id: "plot-text" }, `${write(total)} in ${values.length} days; the most, ${write(most.value)}, on ${most.label}.`),
    ...ticks.flatMap((tick) => [
      shape("line", { class: "grid", x1: left, x2: width, y1: down(tick), y2: down(tick) }),
      shape("text", { class: "tick", x: left - 8, y: down(tick) + 4, "text-anchor": "end" }, write(tick)),
    ]),
  );
  // As many dates as find room, counted from today.
  const every = Math.ceil(64 / step);
  for (const [place, { label, value }] of values.entries()) {
    const x = left + place * step;
    const bar = shape("rect", { class: "day", x: x + step * 0.14, width: step * 0.72, y: down(value), height: down(0) - down(value), rx: Math.min(2, step / 6) });
    const touch = shape("rect", { class: "touch", x, width: step, y: ABOVE, height: HEIGHT - ABOVE - BELOW });
    const group = shape("g", {}, shape("title", {}, `${label}: ${write(value)}`), touch, bar);
    node.append(group);
    if ((values.length - 1 - place) % every === 0) {
      const last = place === values.length - 1;
      node.append(shape("text", { class: "tick", x: last ? width : x + step / 2, y: HEIGHT - 6, "text-anchor": last ? "end" : "middle" }, label));
    }
  }
  figure.replaceChildren(node, make("figcaption", {}, `${write(total)} ${name.toLowerCase()} in ${values.length} days, by UTC.`));
}

function niceTop(most) {
  if (!(most > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 10].map((each) => each * unit).find((each) => each >= most);
}
