// What a page looks like, in numbers; evaluated in the page by the tests beside this file.
({
  // The contrast ratio of WCAG 2 for every piece of text that is seen, against the nearest opaque ground beneath it.
  contrast() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (colour) =>
      colour
        .slice(0, 3)
        .map((channel) => channel / 255)
        .map((channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4))
        .reduce((sum, channel, place) => sum + channel * [0.2126, 0.7152, 0.0722][place], 0);
    const ground = (element) => {
      for (let node = element; node; node = node.parentElement) {
        for (const style of [getComputedStyle(node), getComputedStyle(node, "::before")]) {
          const colour = rgba(style.backgroundColor);
          if (colour[3] === 255 && style.content !== "none") return colour;
        }
      }
      return [255, 255, 255];
    };
    const ratio = (one, other) => {
      const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      const seen = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
      if (!node.data.trim() || !seen) continue;
      const style = getComputedStyle(element);
      const colour = rgba(element instanceof SVGElement ? style.fill : style.color);
      const name = `${element.tagName}.${element.getAttribute("class")}: ${node.data.trim()}`;
      found.push([ratio(colour, ground(element)), name]);
    }
    for (const control of document.querySelectorAll("input:not(.hidden, [type=radio]), textarea, select")) {
      if (!control.checkVisibility()) continue;
      const style = getComputedStyle(control);
      const own = rgba(style.backgroundColor);
      // Borders of controls need 3, text 4.5.
      found.push([1.5 * ratio(rgba(style.borderTopColor), ground(control.parentElement)), `border of ${control.id}`]);
      if (control.type !== "checkbox") found.push([ratio(rgba(style.color), own), control.id]);
      if (control.placeholder) {
        found.push([ratio(rgba(getComputedStyle(control, "::placeholder").color), own), `placeholder of ${control.id}`]);
      }
    }
    return found;
  },

  // Boxes that reach into a neighbour or out of what holds them.
  overlaps() {
    const wrong = [];
    const holders = "main, .sheet, .sheet-main, .bench, .rankings, .account, .ask, .listing, .hit, .hit-head, dialog form, .pairs, .keys tr";
    for (const holder of document.querySelectorAll(holders)) {
      const room = holder.getBoundingClientRect();
      const boxes = [...holder.children]
        .filter((node) => node.checkVisibility() && !node.matches(".actions, .hidden, dialog"))
        .map((node) => node.getBoundingClientRect());
      for (const [place, one] of boxes.entries()) {
        if (one.right > room.right + 1 || one.left < room.left - 1) wrong.push(`out of ${holder.className}`);
        for (const other of boxes.slice(place + 1)) {
          const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
          const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
          if (across > 1 && down > 1) wrong.push(`within ${holder.className}`);
        }
      }
    }
    return wrong;
  },

  // What can be pressed and is less than 24 pixels high or wide; links in text may be.
  small() {
    return [...document.querySelectorAll("button, select, input:not(.hidden, [type=radio]), label, nav a, summary")]
      .filter((node) => node.checkVisibility() && !node.matches(".field > label, .trail a") && !node.closest(".switch > *"))
      .filter((node) => Math.min(node.getBoundingClientRect().width, node.getBoundingClientRect().height) < 24)
      .map((node) => node.outerHTML.slice(0, 80));
  },
})
