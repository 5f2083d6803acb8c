"use strict";
// The grid of images: filter, sort, page; the state is in the address, so that a link shows the same view.
(() => {
  const { data, need, place, show, fitted, floats, shorts, longs } = globalThis.whyfake;
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const grid = one(".gallery");
  if (!data || !grid) return;
  const PAGE = 48;
  const UNKNOWN = 65535;
  const root = document.documentElement;

  const columns = data.images;
  const count = columns.path.length;
  const number = Object.fromEntries(["score", "logit", "width", "height"].map((name) => [name, floats(columns[name])]));
  const row = longs(columns.row);
  const sizes = shorts(data.pictures.sizes);
  const codes = {};
  const word = {};
  for (const name of ["label", "prediction", "outcome", "split", "parts_missing"]) {
    codes[name] = longs(columns[name].codes);
    word[name] = (index) => columns[name].names[codes[name][index]];
  }

  // The state: what is not in the address is as the page came.
  const DEFAULTS = {
    layer: String(data.layers.indexOf(grid.dataset.layer)), method: String(data.methods.findIndex(({ key }) => key === grid.dataset.method)),
    scale: "own", label: "", prediction: "", outcome: "", split: "", low: "", high: "", region: "", least: "", name: "",
    sort: "row", seed: "1", page: "1", open: "", strength: "0.75", seq: "viridis", div: "purple-orange",
  };
  const FILTERS = ["label", "prediction", "outcome", "split", "low", "high", "region", "least", "name"];
  const state = { ...DEFAULTS };
  const regions = data.regions?.names ?? [];
  const names = { layer: data.layers, method: data.methods.map(({ key }) => key), region: regions };
  function address() {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) {
      if (value !== DEFAULTS[key]) query.set(key, key in names && value !== "" ? names[key][value] : value);
    }
    return query.size ? `#images?${query}` : "#images";
  }
  function parsed(hash) {
    const query = new URLSearchParams(hash.slice("#images?".length));
    const found = { ...DEFAULTS };
    for (const key of Object.keys(DEFAULTS)) {
      if (!query.has(key)) continue;
      const value = query.get(key);
      const place = key in names ? names[key].indexOf(value) : -1;
      found[key] = !(key in names) ? value : place < 0 ? DEFAULTS[key] : String(place);
    }
    return found;
  }

  // What is shown, in order: indices of tiles.
  let found = [];
  const key = new Float64Array(count);
  let noted = null; // shares of the chosen layer and method
  const pair = () => data.pairs[state.layer]?.[state.method] ?? null;
  const share = (index, region) => {
    const value = noted[index * regions.length + region];
    return value === UNKNOWN ? NaN : value / 10000;
  };
  const outside = regions.map((_, i) => i).filter((i) => data.regions.outside[i] && !data.regions.inner[i]);
  const off = (index) => outside.reduce((sum, region) => sum + (share(index, region) || 0), 0);

  // A number per image that is sorted by, the smallest first; no number comes last.
  function random(seed) {
    let next = (seed * 2654435761) >>> 0;
    return () => {
      next = (next + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(next ^ (next >>> 15), next | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return (mixed ^ (mixed >>> 14)) >>> 0;
    };
  }
  const rules = {
    row: (i) => row[i],
    high: (i) => -number.score[i],
    low: (i) => number.score[i],
    doubt: (i) => Math.abs(number.score[i] - data.threshold),
    wrong: (i) => (word.label(i) === "fake" ? number.logit[i] : word.label(i) === "real" ? -number.logit[i] : NaN),
    outside: (i) => -off(i),
    share: (i) => -share(i, +state.region),
  };
  let lower = null; // paths in small letters, and their places in alphabetical order, made when asked for
  let paths = null;
  function ordered() {
    paths ??= Uint32Array.from([...columns.path.keys()].sort((a, b) => (columns.path[a] < columns.path[b] ? -1 : 1)));
    return paths;
  }
  const ofShares = () => state.sort === "outside" || state.sort === "share";
  const needsShares = () => data.regions && (ofShares() || (state.region !== "" && state.least !== ""));

  function select() {
    const tests = [];
    for (const name of ["label", "prediction", "outcome", "split"]) {
      if (state[name] === "") continue;
      const [of, wanted] = [codes[name], columns[name].names.indexOf(state[name])];
      tests.push((i) => of[i] === wanted);
    }
    if (state.low !== "") tests.push((i) => number.score[i] >= Math.fround(state.low));
    if (state.high !== "") tests.push((i) => number.score[i] <= Math.fround(state.high));
    if (state.name !== "") {
      lower ??= columns.path.map((path) => path.toLowerCase());
      const text = state.name.toLowerCase();
      tests.push((i) => lower[i].includes(text));
    }
    if (state.region !== "" && state.least !== "") {
      const least = Math.round(100 * state.least);
      tests.push((i) => {
        const value = noted?.[i * regions.length + +state.region] ?? UNKNOWN;
        return value !== UNKNOWN && value >= least;
      });
    }
    found = [];
    for (let i = 0; i < count; i++) if (tests.every((fits) => fits(i))) found.push(i);
    if (state.sort === "path") {
      const place = new Uint32Array(count);
      ordered().forEach((i, at) => (place[i] = at));
      for (const i of found) key[i] = place[i];
    } else if (state.sort === "random") {
      const draw = random(+state.seed || 1);
      for (let i = 0; i < count; i++) key[i] = draw();
    } else {
      const rule = (ofShares() && (!noted || (state.sort === "share" && state.region === ""))) || !Object.hasOwn(rules, state.sort) ? rules.row : rules[state.sort];
      for (const i of found) {
        const value = rule(i);
        key[i] = Number.isNaN(value) ? Infinity : value;
      }
    }
    // Infinity − Infinity is no number: those stay in the order of the run.
    found.sort((a, b) => key[a] - key[b] || row[a] - row[b]);
  }

  // Cards are made once and filled again for every page.
  const pattern = one("#card");
  const cards = [];
  function card(at) {
    while (cards.length <= at) {
      const made = pattern.content.firstElementChild.cloneNode(true);
      one(".shot", made).addEventListener("click", () => set({ open: String(row[made.index]) }));
      cards.push(made);
    }
    return cards[at];
  }
  function make(tag, name, text = "") {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  }
  const digits = (value, places) => (Number.isNaN(value) ? "–" : value.toFixed(places).replace("-", "−"));
  const short = (value) => {
    const [mantissa, power] = value.toPrecision(2).split("e");
    return power ? `${mantissa} × 10${[...String(+power)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}` : mantissa;
  };

  // Draw a picture and one of its maps; returns what is to be said of it.
  const decoded = new Map();
  function numbers(name, chunk) {
    if (!decoded.has(name)) decoded.set(name, { scale: floats(chunk.scale), highest: floats(chunk.highest) });
    return decoded.get(name);
  }
  function picture(face, index, large = false) {
    const record = (large && data.pictures.large) || data.pictures.small;
    const [height, width] = fitted(sizes[2 * index], sizes[2 * index + 1], record.height);
    show(face, place(record, index, height, width));
    return [height, width];
  }
  function paint(shot, index, layer, method, then = () => {}) {
    const chunk = data.pairs[layer]?.[method] ?? null;
    const map = one(".map", shot);
    const [hatch, badge] = [one(".hatch", shot), one(".badge", shot)];
    shot.wanted = `${index} ${layer} ${method}`;
    const say = (text) => {
      map.hidden = hatch.hidden = text !== "";
      badge.hidden = text === "";
      badge.textContent = text;
    };
    if (chunk === null) {
      say("not measured");
      return then({ text: "", state: "not measured" });
    }
    const wanted = shot.wanted;
    if (!(`pair-${chunk}` in globalThis.whyfake.chunks)) say("loading"); // and not the map of what was here before
    need([`pair-${chunk}`], (content) => {
      if (shot.wanted !== wanted) return; // something else is to be shown by now
      const { scale, highest } = numbers(chunk, content);
      if (!(highest[index] > 0)) {
        say(shot.matches(".mini .shot") ? "empty" : "empty: no positive value");
        return then({ text: "", state: "empty" });
      }
      say("");
      const signed = data.methods[method].signed;
      map.className = `map tile ${signed ? "div" : "seq"}`;
      show(map, place(content.tiles, index));
      for (const element of [map, hatch]) {
        for (const old of [...element.classList].filter((name) => name.startsWith("area-"))) element.classList.remove(old);
        element.classList.add(`area-${layer}`);
      }
      const common = state.scale === "common" && content.common > 0;
      map.style.setProperty("--k", common ? scale[index] / content.common : 1);
      then({ text: (signed ? "±" : "0 to ") + short(scale[index]), highest: short(highest[index]), state: "drawn" });
    });
  }

  const last = () => Math.max(1, Math.ceil(found.length / PAGE));
  const current = () => Math.min(Math.max(1, Math.floor(+state.page) || 1), last());
  const number_ = (value) => value.toLocaleString("en");
  function draw() {
    const page = current();
    const part = found.slice((page - 1) * PAGE, page * PAGE);
    part.forEach((index, at) => {
      const element = card(at);
      element.index = index;
      const path = columns.path[index];
      const shot = one(".shot", element);
      const [height, width] = picture(one(".face", shot), index);
      shot.style.aspectRatio = `${width} / ${height}`;
      one(".face", shot).setAttribute("aria-label", `Open ${path}`); // on the picture: what the badge says belongs to the button's name too
      const chip = one(".chip", element);
      chip.textContent = word.outcome(index) || word.label(index) || "–";
      chip.className = `chip ${word.outcome(index)}`;
      one(".value", element).textContent = digits(number.score[index], 3);
      const caption = one(".path", element);
      caption.textContent = caption.title = path;
      const top = one(".top-of-scale", element);
      top.textContent = "";
      paint(shot, index, +state.layer, +state.method, ({ text }) => (top.textContent = state.scale === "common" ? "" : text));
    });
    if (grid.children.length !== part.length) grid.replaceChildren(...part.map((_, at) => card(at)));
    one("#none-shown").hidden = found.length > 0;
    const from = found.length ? (page - 1) * PAGE + 1 : 0;
    const of = found.length === count ? number_(count) : `${number_(found.length)} that fit, of ${number_(count)}`;
    one("#shown").textContent = `${number_(from)}–${number_(Math.min(found.length, page * PAGE))} of ${of}`;
    for (const pager of all("[data-page]")) {
      pager.hidden = found.length <= PAGE;
      pager.disabled = pager.dataset.page === "-1" ? page <= 1 : page >= last();
    }
  }
  function note() {
    const { name, signed } = data.methods[state.method];
    for (const select of all("#images [data-palette], #viewer [data-palette]")) {
      select.parentElement.hidden = (select.dataset.palette === "div") !== signed;
    }
    one("#missing-note").hidden = !globalThis.whyfake.failed;
    one("#mark-note").textContent = data.marks[state.layer]?.[state.method] ?? "";
    const title = `${name}, ${data.layers[state.layer]}`;
    const say = (text) => (one("#scale-note").textContent = `${title}: ${text}.`);
    if (pair() === null) return say("this method has no maps of this layer");
    if (state.scale !== "common") return say("each image has its own scale, printed under it; colours cannot be compared between images");
    const asked = pair();
    need([`pair-${asked}`], ({ common }) => {
      if (asked === pair()) say(`one scale for all images, ${signed ? "±" : "0 to "}${short(common)}; 95 % of the images stay within it`);
    });
  }

  // Controls, state and page stay in step.
  const controls = all("[data-gallery]");
  function reflect() {
    // Not where somebody is typing: "0." would lose its point.
    for (const control of controls) if (!(control === document.activeElement && control.matches("input"))) control.value = state[control.dataset.gallery];
    for (const name of ["seq", "div"]) {
      root.dataset[name] = state[name];
      for (const select of all(`[data-palette="${name}"]`)) select.value = state[name];
    }
    root.style.setProperty("--image-opacity", state.strength);
    for (const slider of all('[data-opacity="image"]')) slider.value = state.strength;
    const active = FILTERS.filter((name) => state[name] !== "").length;
    one("#active").textContent = active ? `${active} in use` : "";
    for (const control of all("[data-needs]")) control.hidden = state.sort !== control.dataset.needs;
  }
  function set(changes, keep = false) {
    const before = { ...state };
    Object.assign(state, changes);
    const changed = Object.keys(state).filter((name) => state[name] !== before[name]);
    if (!keep && changed.some((name) => [...FILTERS, "sort", "seed"].includes(name)) && !("page" in changes)) state.page = "1";
    reflect();
    // Colours hold for the whole page: to choose them elsewhere is no reason to come here.
    if (location.hash.startsWith("#images") || changed.some((name) => !["seq", "div", "strength"].includes(name))) {
      history.replaceState(null, "", address());
    }
    const refresh = () => {
      if (changed.some((name) => !["open", "page", "strength", "seq", "div", "scale"].includes(name))) select();
      if (changed.some((name) => !["open", "strength", "seq", "div"].includes(name)) || state.page !== before.page) {
        draw();
        note();
      }
      globalThis.whyfake.viewer?.();
    };
    if (!needsShares()) return refresh();
    const name = `shares-${pair()}`;
    if (pair() === null) noted = null;
    if (pair() === null || noted?.of === name) return refresh();
    need([name], (text) => {
      if (name !== `shares-${pair()}`) return; // another map was chosen meanwhile
      noted = shorts(text);
      noted.of = name;
      refresh();
    });
  }
  for (const control of controls) {
    const typed = control.matches("input[type=search], input[type=number]");
    control.addEventListener(typed ? "input" : "change", () => set({ [control.dataset.gallery]: control.value }));
  }
  for (const select of all("[data-palette]")) select.addEventListener("change", () => set({ [select.dataset.palette]: select.value }));
  for (const slider of all('[data-opacity="image"]')) slider.addEventListener("input", () => set({ strength: slider.value }));
  for (const pager of all("[data-page]")) {
    pager.addEventListener("click", () => {
      set({ page: String(current() + +pager.dataset.page) });
      one("#shown").focus({ preventScroll: true });
      one("#images").scrollIntoView();
    });
  }
  one("[data-shuffle]").addEventListener("click", () => set({ seed: String((+state.seed || 1) + 1) }));
  one("[data-clear]").addEventListener("click", () => set(Object.fromEntries(FILTERS.map((name) => [name, ""]))));

  Object.assign(globalThis.whyfake, {
    gallery: { PAGE, state, set, one, all, make, digits, picture, paint, word, number, row, columns, sizes, pair, found: () => found, cards },
  });
  function arrive() {
    if (!/^#images(\?|$)/.test(location.hash)) {
      if (state.open !== "") {
        Object.assign(state, { open: "" });
        globalThis.whyfake.viewer?.();
      }
      return;
    }
    const wanted = parsed(location.hash);
    if (Object.keys(wanted).some((name) => wanted[name] !== state[name])) set(wanted, true);
    one("#images").scrollIntoView();
  }
  select();
  reflect();
  draw();
  note();
  arrive();
  window.addEventListener("hashchange", arrive);
  window.addEventListener("whyfake:failed", note);
})();
