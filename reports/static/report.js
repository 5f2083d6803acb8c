"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const root = document.documentElement;

  // The maps are the page's bulk: parsed when the first one is needed.
  let parsed = null;
  const data = () => (parsed ??= JSON.parse(one("#data").textContent));

  // Mean maps and face parts: one table of several is shown.
  const shown = {};
  function show(section) {
    for (const table of all(`[data-in="${section}"]`)) {
      table.hidden = Object.entries(shown[section]).some(([key, value]) => table.dataset[key] !== value);
    }
  }
  for (const control of all("[data-show]")) {
    const { show: section, key } = control.dataset;
    shown[section] ??= {};
    if (control.type !== "radio" || control.checked) shown[section][key] = control.value;
    control.addEventListener("change", () => {
      shown[section][key] = control.value;
      show(section);
    });
  }
  Object.keys(shown).forEach(show);

  // Colour maps and strength hold for the whole page; their controls stay in step.
  for (const kind of ["seq", "div"]) {
    const selects = all(`[data-palette="${kind}"]`);
    root.dataset[kind] = selects[0]?.value ?? (kind === "seq" ? "viridis" : "purple-orange");
    for (const select of selects) {
      select.addEventListener("change", () => {
        root.dataset[kind] = select.value;
        for (const other of selects) other.value = select.value;
      });
    }
  }
  for (const slider of all("[data-opacity]")) {
    const key = slider.dataset.opacity;
    slider.addEventListener("input", () => {
      root.style.setProperty(`--${key}-opacity`, slider.value);
      for (const other of all(`[data-opacity="${key}"]`)) other.value = slider.value;
    });
  }

  // Images.
  const cards = all(".card");
  const gallery = one(".gallery");
  const state = {};
  for (const control of all("[data-gallery]")) {
    const key = control.dataset.gallery;
    state[key] ??= control.value;
    control.value = state[key];
    control.addEventListener("change", () => set({ [key]: control.value }));
  }

  function paint(shot, index, layer, method) {
    for (const old of all(".map, .hatch, .badge", shot)) old.remove();
    const { layers, methods, images, common } = data();
    const found = images[index].maps[layer][method];
    if (!found) {
      shot.append(make("span", "badge", "not measured"));
      return { text: "", state: "not measured" };
    }
    const [picture, scale, text, highest] = found;
    const signed = methods[method].signed;
    layers[layer].area.forEach((edge, i) => shot.style.setProperty(`--${"trbl"[i]}`, `${edge}%`));
    if (!picture) {
      shot.append(make("span", "badge", "empty: no positive value"));
      return { text: "", state: "empty" };
    }
    const map = make("img", `map ${signed ? "div" : "seq"}`);
    map.alt = `${methods[method].name}, ${layers[layer].name}`;
    map.src = `data:image/png;base64,${picture}`;
    const shared = common[layer][method];
    if (state.scale === "common" && shared > 0) map.style.setProperty("--k", scale / shared);
    shot.append(map, make("span", "hatch"));
    return { text: (signed ? "±" : "0 to ") + text, highest, state: "drawn" };
  }
  function make(tag, name, text = "") {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  }
  function dress(card) {
    const { text } = paint(one(".shot", card), +card.dataset.i, +state.layer, +state.method);
    one(".top-of-scale", card).textContent = state.scale === "common" ? "" : text;
    card.dataset.painted = "1";
  }

  // A card is painted when it comes into view, and again when a control changes.
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting && !target.dataset.painted) dress(target);
        target.dataset.near = isIntersecting ? "1" : "";
      }
    },
    { rootMargin: "400px" },
  );
  cards.forEach((card) => watcher.observe(card));
  window.addEventListener("beforeprint", () => cards.forEach((card) => card.dataset.painted || dress(card)));

  const missing = (value) => (value === "" ? Infinity : +value);
  const orders = {
    row: (a, b) => a.dataset.i - b.dataset.i,
    high: (a, b) => missing(a.dataset.score && -a.dataset.score) - missing(b.dataset.score && -b.dataset.score),
    low: (a, b) => missing(a.dataset.score) - missing(b.dataset.score),
    doubt: (a, b) => missing(a.dataset.doubt) - missing(b.dataset.doubt),
    path: (a, b) => (data().images[a.dataset.i].path < data().images[b.dataset.i].path ? -1 : 1),
  };
  function set(changes) {
    Object.assign(state, changes);
    for (const control of all("[data-gallery]")) control.value = state[control.dataset.gallery];
    if ("sort" in changes) {
      // Infinity − Infinity is no number: those stay in the order of the run.
      cards.sort((a, b) => orders[state.sort](a, b) || orders.row(a, b));
      gallery.append(...cards);
    }
    if ("outcome" in changes) {
      for (const card of cards) card.hidden = state.outcome !== "" && card.dataset.stratum !== state.outcome;
      one("#none-shown").hidden = cards.some((card) => !card.hidden);
    }
    if ("layer" in changes || "method" in changes || "scale" in changes) {
      for (const card of cards) {
        card.dataset.painted = "";
        if (card.dataset.near) dress(card);
      }
      note();
    }
    if (viewer.open) view(current);
  }
  function note() {
    const { layers, methods, common } = data();
    const { name, signed } = methods[state.method];
    for (const select of all("#images [data-palette]")) {
      select.parentElement.hidden = (select.dataset.palette === "div") !== signed;
    }
    const top = Number(common[state.layer][state.method].toPrecision(2));
    const scale =
      state.scale === "common"
        ? `one scale for all images, ${signed ? `−${top} to ${top}` : `0 to ${top}`}; 95 % of the images stay within it`
        : "each image has its own scale, printed under it; colours cannot be compared between images";
    one("#scale-note").textContent = `${name}, ${layers[state.layer].name}: ${scale}.`;
    one("#mark-note").textContent = data().marks[state.layer]?.[state.method] ?? "";
  }

  // One image, larger, with all its maps.
  const viewer = one("#viewer");
  let current = null;
  function view(card) {
    current = card;
    const index = +card.dataset.i;
    const image = data().images[index];
    const face = one(".face", card);
    const shot = one("#viewer-shot");
    one("#viewer-title").textContent = image.path;
    shot.style.aspectRatio = one(".shot", card).style.aspectRatio;
    Object.assign(one(".face", shot), { src: face.src, alt: image.path });
    const { text, highest, state: kind } = paint(shot, index, +state.layer, +state.method);
    one("#viewer-cap").textContent = text
      ? `${data().methods[state.method].name}, ${data().layers[state.layer].name}: scale ${text}, highest cell ${highest}`
      : `${data().methods[state.method].name}, ${data().layers[state.layer].name}: ${kind === "empty" ? "empty, no positive value" : kind}`;
    one("#viewer-facts").replaceChildren(
      ...image.rows.map(([name, value]) => {
        const row = make("div", "");
        row.append(make("dt", "", name), make("dd", "", value));
        return row;
      }),
    );
    for (const button of all("[data-pick]", viewer)) {
      const [layer, method] = button.dataset.pick.split(",").map(Number);
      one(".face", button).src = face.src;
      // A small picture has room for one word.
      if (paint(button, index, layer, method).state === "empty") one(".badge", button).textContent = "empty";
      button.setAttribute("aria-pressed", layer === +state.layer && method === +state.method);
    }
    if (!viewer.open) viewer.showModal();
  }
  function step(by) {
    const visible = cards.filter((card) => !card.hidden);
    if (visible.length) view(visible[(visible.indexOf(current) + by + visible.length) % visible.length]);
  }
  for (const card of cards) one(".shot", card).addEventListener("click", () => view(card));
  for (const button of all("[data-step]")) button.addEventListener("click", () => step(+button.dataset.step));
  for (const button of all("[data-pick]")) {
    button.addEventListener("click", () => {
      const [layer, method] = button.dataset.pick.split(",");
      set({ layer, method });
    });
  }
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    // A select or slider in focus needs the arrows itself.
    if (by && !event.target.matches("select, input")) step(by);
  });
  viewer.addEventListener("close", () => one(".shot", current)?.focus());

  // Channel grids, larger.
  const sheet = one("#sheet");
  for (const button of all("[data-enlarge]")) {
    button.addEventListener("click", () => {
      const { src, alt } = one("img", button);
      Object.assign(one("#sheet-img"), { src, alt });
      one("#sheet-title").textContent = alt;
      sheet.showModal();
    });
  }
  for (const dialog of [viewer, sheet]) {
    for (const button of all("[data-close]", dialog)) button.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = one(`#${button.dataset.copy}`);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        // Some browsers forbid the clipboard to local files: select it for the reader's own copy.
        getSelection().selectAllChildren(source);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  }

  const links = all("nav.top li a");
  const here = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        for (const link of links) link.classList.toggle("here", link.hash === `#${target.id}`);
      }
    },
    { rootMargin: "-30% 0px -65%" },
  );
  all("main > section").forEach((section) => here.observe(section));
  if (cards.length) note();
})();
