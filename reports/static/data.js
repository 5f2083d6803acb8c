"use strict";
// What the page knows of the images: columns of numbers, tiles on sheets, and chunks that come when they are needed.
(() => {
  // A folder's data came as a script; a page of one file holds its own.
  const holder = document.querySelector("#data");
  const page = holder ? { data: JSON.parse(holder.textContent) } : (globalThis.whyfake ?? { data: null });
  page.chunks ??= page.data?.chunks ?? {};
  globalThis.whyfake = page;

  function bytes(text) {
    const raw = atob(text);
    const found = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
    return found;
  }
  page.floats = (text) => new Float32Array(bytes(text).buffer);
  page.shorts = (text) => new Uint16Array(bytes(text).buffer);
  page.longs = (text) => new Uint32Array(bytes(text).buffer);

  // Call `then` with some chunks, at once where they are there. A script can be loaded from file://, fetch cannot.
  const waiting = new Map();
  page.need = (names, then) => {
    const missing = names.filter((name) => !(name in page.chunks));
    if (!missing.length) return then(...names.map((name) => page.chunks[name]));
    let left = missing.length;
    for (const name of missing) {
      if (!waiting.has(name)) {
        waiting.set(name, []);
        const script = document.createElement("script");
        script.src = `data/${encodeURIComponent(name)}.js`;
        script.onload = () => waiting.get(name).forEach((call) => call());
        script.onerror = () => {
          waiting.delete(name); // the next one who needs it tries again
          page.failed = true;
          window.dispatchEvent(new Event("whyfake:failed"));
        };
        document.head.append(script);
      }
      waiting.get(name).push(() => --left || then(...names.map((one) => page.chunks[one])));
    }
  };

  // A sheet inside the page is decoded once and not once for every tile.
  const sheets = new Map();
  function sheet(address) {
    if (!address.startsWith("data:")) return address;
    if (!sheets.has(address)) {
      const [head, body] = address.split(",");
      sheets.set(address, URL.createObjectURL(new Blob([bytes(body)], { type: head.slice(5).split(";")[0] })));
    }
    return sheets.get(address);
  }

  // Where tile number `index` lies, `height` × `width` of it used.
  page.place = (record, index, height = record.height, width = record.width) => {
    const number = Math.floor(index / record.per);
    const tiles = Math.min(record.per, record.count - number * record.per);
    const slot = index - number * record.per;
    const [down, across] = [record.height + 2 * record.border, record.width + 2 * record.border];
    return {
      address: sheet(record.sheets[number]),
      x: (slot % record.columns) * across + record.border,
      y: Math.floor(slot / record.columns) * down + record.border,
      height,
      width,
      whole: { height: Math.ceil(tiles / record.columns) * down, width: Math.min(tiles, record.columns) * across },
    };
  };
  // Show a tile as an element's background, whatever the element's size.
  page.show = (element, tile) => {
    const { address, x, y, height, width, whole } = (element.tile = tile);
    const part = (edge, side, all) => (all > side ? (100 * edge) / (all - side) : 0);
    element.style.backgroundImage = `url("${address}")`;
    element.style.backgroundSize = `${(100 * whole.width) / width}% ${(100 * whole.height) / height}%`;
    element.style.backgroundPosition = `${part(x, width, whole.width)}% ${part(y, height, whole.height)}%`;
  };
  // The size of a picture on a tile of so many pixels, as reports/pictures.py computes it.
  page.fitted = (height, width, side) => {
    const factor = Math.min(1, side / Math.max(height, width));
    return [height, width].map((edge) => Math.max(1, Math.floor(edge * factor + 0.5)));
  };
})();
