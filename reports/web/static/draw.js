"use strict";
// Maps as pictures: levels of grey become colours, cells come to lie where they are on the image.
(() => {
  const page = (globalThis.whyfake = {});
  page.make = (name, style = "", text = "") => {
    const found = document.createElement(name);
    if (style) found.className = style;
    if (text) found.textContent = text;
    return found;
  };

  // 256 colours from a few stops.
  function table(stops) {
    const known = stops.split(" ").map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
    return Array.from({ length: 256 }, (_, level) => {
      const at = (level / 255) * (known.length - 1);
      const [low, part] = [Math.floor(at), at % 1];
      const high = Math.min(low + 1, known.length - 1);
      return known[low].map((value, i) => Math.round(value + part * (known[high][i] - value)));
    });
  }
  const tables = { false: table(document.body.dataset.sequential), true: table(document.body.dataset.diverging) };

  function bytes(text) {
    const raw = atob(text);
    return Uint8ClampedArray.from(raw, (c) => c.charCodeAt(0));
  }

  // A map's cells as a small canvas; what is weak lets the face show through.
  const cells = new WeakMap();
  function coloured(map) {
    if (!cells.has(map)) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [map.width, map.height];
      const pixels = new ImageData(map.width, map.height);
      bytes(map.levels).forEach((level, i) => {
        const strength = map.signed ? Math.abs(level - 128) / 127 : level / 255;
        pixels.data.set([...tables[map.signed][level], 255 * Math.min(1, 1.6 * strength)], 4 * i);
      });
      canvas.getContext("2d").putImageData(pixels, 0, 0);
      cells.set(map, canvas);
    }
    return cells.get(map);
  }

  // Draw an image and, over it, a map.
  page.draw = (canvas, image, map, opacity, width = image.naturalWidth, height = image.naturalHeight) => {
    [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0, width, height);
    if (!map || map.empty) return;
    pen.globalAlpha = opacity;
    pen.imageSmoothingQuality = "high";
    const [top, left, high, wide] = map.box;
    pen.drawImage(coloured(map), left * width, top * height, wide * width, high * height);
  };

  const SVG = "http://www.w3.org/2000/svg";
  // A bar of rectangles: [class, x, width], in parts of its length.
  page.bar = (style, label, rectangles) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", style);
    svg.setAttribute("viewBox", "0 0 1000 14");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
    for (const [kind, x, width] of rectangles) {
      const shape = document.createElementNS(SVG, "rect");
      for (const [name, value] of Object.entries({ class: kind, x: 1000 * x, y: 0, width: 1000 * width, height: 14 })) shape.setAttribute(name, value);
      svg.append(shape);
    }
    return svg;
  };
  page.percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
})();
