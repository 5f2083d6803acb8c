"use strict";
// Figures marked with data-figure (the name of their file) can be saved: drawings as SVG or PNG, pictures as they are,
// maps composed with the face below them.
(() => {
  const BLOCKED = "The browser keeps pictures of a folder from being read. Save it from a report in one file, or open the folder through a web server.";
  const SIDE = 512; // at least so many pixels of a map with its face
  const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "stroke-opacity"];
  LOOKS.push("vector-effect", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "letter-spacing", "visibility");

  function make(tag, name, text = "") {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  }
  function download(href, name) {
    const link = make("a", "");
    Object.assign(link, { href, download: name.replace(/[^\p{L}\p{N}._-]+/gu, "-") });
    link.click();
  }
  function save(blob, name) {
    const href = URL.createObjectURL(blob);
    download(href, name);
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }
  async function load(address) {
    const image = new Image();
    image.src = address;
    await image.decode();
    return image;
  }
  const png = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));
  function sheet(width, height) {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: Math.round(width), height: Math.round(height) });
    return [canvas, canvas.getContext("2d")];
  }

  // The page's styles do not reach a file: every shape takes its own along.
  function standalone(svg) {
    const copy = svg.cloneNode(true);
    const box = svg.viewBox.baseVal;
    const shown = svg.getBoundingClientRect();
    const [width, height] = [shown.width || box.width, shown.height || box.height];
    const [x, y, w, h] = box?.width ? [box.x, box.y, box.width, box.height] : [0, 0, width, height];
    const parts = [...svg.querySelectorAll("*")];
    [...copy.querySelectorAll("*")].forEach((part, i) => {
      if (!(part instanceof SVGGraphicsElement)) return;
      const style = getComputedStyle(parts[i]);
      part.removeAttribute("class");
      part.removeAttribute("style");
      if (style.display === "none") part.setAttribute("display", "none");
      for (const look of LOOKS) part.setAttribute(look, style.getPropertyValue(look));
      if (style.vectorEffect !== "non-scaling-stroke") return;
      // Such a line is as thin on a larger picture: give it the width that it has here.
      part.setAttribute("vector-effect", "none");
      for (const look of ["stroke-width", "stroke-dasharray"]) {
        part.setAttribute(look, style.getPropertyValue(look).replace(/[\d.]+/g, (length) => (length * w) / width));
      }
    });
    const paper = document.createElementNS(svg.namespaceURI, "rect");
    const fill = getComputedStyle(document.body).backgroundColor;
    for (const [key, value] of Object.entries({ x, y, width: w, height: h, fill })) paper.setAttribute(key, value);
    copy.prepend(paper);
    for (const [key, value] of Object.entries({ width, height, viewBox: `${x} ${y} ${w} ${h}` })) copy.setAttribute(key, value);
    for (const key of ["class", "style"]) copy.removeAttribute(key);
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  }
  async function drawn({ text, width, height }) {
    const [canvas, context] = sheet(2 * width, 2 * height);
    context.drawImage(await load(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`), 0, 0, canvas.width, canvas.height);
    return png(canvas);
  }

  // Colour maps are filters of the page; not every browser lets a canvas use them, so their tables are read.
  const table = (filter, channel) => filter.querySelector(`feFunc${channel}`).getAttribute("tableValues").trim().split(/[\s,]+/).map(Number);
  function colour(pixels, style) {
    const id = /#([\w-]+)/.exec(style.filter)?.[1];
    if (!id) return;
    const filter = document.getElementById(id);
    const tables = ["R", "G", "B", "A"].map((channel) => table(filter, channel));
    const factor = (name) => Number(new RegExp(`${name}\\(([\\d.]+)\\)`).exec(style.filter)?.[1] ?? 1);
    const [bright, contrast] = [factor("brightness"), factor("contrast")];
    const looked = Array.from({ length: 256 }, (_, grey) => {
      const at = Math.min(1, Math.max(0, ((grey / 255) * bright - 0.5) * contrast + 0.5));
      return tables.map((values) => {
        const place = at * (values.length - 1);
        const low = Math.min(Math.floor(place), values.length - 2);
        return Math.round(255 * (values[low] + (place - low) * (values[low + 1] - values[low])));
      });
    });
    for (let i = 0; i < pixels.length; i += 4) {
      const [r, g, b, a] = looked[pixels[i]];
      pixels[i] = r;
      pixels[i + 1] = g;
      pixels[i + 2] = b;
      pixels[i + 3] = (pixels[i + 3] * a) / 255;
    }
  }

  // Where a layer has no cells nothing was measured: that must not look like zero.
  function hatch(context, inner, scale) {
    const { width, height } = context.canvas;
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(...inner);
    context.clip("evenodd");
    context.fillStyle = "#4a505666";
    context.fillRect(0, 0, width, height);
    context.strokeStyle = "#ffffff80";
    context.lineWidth = scale;
    context.beginPath();
    for (let x = -height; x < width; x += 8.5 * scale) {
      context.moveTo(x, 0);
      context.lineTo(x + height, height);
    }
    context.stroke();
  }

  // A picture and the part of it that an element shows: a tile of a sheet, or all of it.
  async function source({ tile, currentSrc, src }) {
    const image = await load(tile?.address ?? (currentSrc || src));
    return tile ? [image, tile.x, tile.y, tile.width, tile.height] : [image, 0, 0, image.naturalWidth, image.naturalHeight];
  }
  async function overlay(shot) {
    const frame = shot.getBoundingClientRect();
    const kept = (shot.querySelector(".face")?.tile?.height ?? 0) / frame.height; // no smaller than the picture that is shown
    const scale = Math.max(1, kept, SIDE / Math.min(frame.width, frame.height));
    const [canvas, context] = sheet(frame.width * scale, frame.height * scale);
    const style = getComputedStyle(shot);
    context.fillStyle = style.backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const behind = /^url\("(.*)"\)$/.exec(style.backgroundImage)?.[1];
    const face = shot.querySelector(".face") ?? (behind && { src: behind });
    if (face) context.drawImage(...(await source(face)), 0, 0, canvas.width, canvas.height);
    const map = shot.querySelector(".map:not([hidden])");
    if (map) {
      const grey = await source(map);
      const [own, inner] = sheet(grey[3], grey[4]);
      inner.drawImage(...grey, 0, 0, own.width, own.height);
      const image = inner.getImageData(0, 0, own.width, own.height);
      const shown = getComputedStyle(map);
      colour(image.data, shown);
      inner.putImageData(image, 0, 0);
      const box = map.getBoundingClientRect();
      const [x, y, w, h] = [box.left - frame.left, box.top - frame.top, box.width, box.height].map((length) => length * scale);
      // A map lies where the layer has cells: placed there, or cut to it.
      const edges = ["t", "r", "b", "l"].map((edge) => (shown.clipPath === "none" ? 0 : parseFloat(shown.getPropertyValue(`--${edge}`)) || 0) / 100);
      const inside = [x + edges[3] * w, y + edges[0] * h, w * (1 - edges[1] - edges[3]), h * (1 - edges[0] - edges[2])];
      context.save();
      context.beginPath();
      context.rect(...inside);
      context.clip();
      context.globalAlpha = Number(shown.opacity);
      context.imageSmoothingEnabled = shown.imageRendering !== "pixelated";
      context.drawImage(own, x, y, w, h);
      context.restore();
      if (inside[2] < canvas.width - 1 || inside[3] < canvas.height - 1) hatch(context, inside, scale);
    }
    return png(canvas);
  }

  // What a figure can be saved as: [what the button says, what it does].
  function ways(host) {
    const name = () => host.dataset.figure;
    const shot = host.matches(".shot") ? host : host.querySelector(".shot");
    if (shot) return shot.matches(".blank") ? [] : [["PNG", async () => save(await overlay(shot), `${name()}.png`)]];
    const svg = host.querySelector("svg");
    if (svg) {
      return [
        ["SVG", () => save(new Blob([standalone(svg).text], { type: "image/svg+xml" }), `${name()}.svg`)],
        ["PNG", async () => save(await drawn(standalone(svg)), `${name()}.png`)],
      ];
    }
    const image = host.querySelector("img");
    if (!image) return [];
    const type = /^data:image\/(\w+)|\.(\w+)$/.exec(image.getAttribute("src") ?? "");
    const ending = (type?.[1] ?? type?.[2] ?? "png").replace("jpeg", "jpg");
    const own = () => download(image.src, `${name()}.${ending}`);
    if (ending === "png") return [["PNG", own]];
    const asPng = async () => {
      const found = await load(image.src);
      const [canvas, context] = sheet(found.naturalWidth, found.naturalHeight);
      context.drawImage(found, 0, 0);
      try {
        save(await png(canvas), `${name()}.png`);
      } catch {
        own(); // a file beside the page cannot be read, but it can be saved as it is
      }
    };
    return [["PNG", asPng]];
  }
  for (const host of document.querySelectorAll("[data-figure]")) {
    const bar = make("div", "save");
    const said = make("span", "");
    said.setAttribute("role", "status");
    const choices = ways(host);
    for (const [kind, act] of choices) {
      const button = make("button", "", choices.length > 1 ? `Save ${kind}` : "Save");
      button.type = "button";
      button.setAttribute("aria-label", `Save ${kind}: ${host.dataset.figure}`);
      button.addEventListener("click", async () => {
        said.textContent = "";
        try {
          await act();
        } catch (error) {
          said.textContent = error.name === "SecurityError" ? BLOCKED : `Could not be saved: ${error.message}`;
        }
        bar.classList.toggle("said", said.textContent !== "");
      });
      bar.append(button);
    }
    if (!bar.childElementCount) continue;
    bar.append(said);
    host.append(bar);
  }
})();
