"use strict";
// One image, as large as it was kept, with all its maps and what its map dwells on.
(() => {
  const { data, gallery, need, shorts } = globalThis.whyfake;
  if (!gallery) return;
  const { state, set, one, all, make, digits, picture, paint, word, number, row, columns, sizes, pair } = gallery;
  const viewer = one("#viewer");
  const shot = one("#viewer-shot");
  const MOST = 14; // region bars
  let index = -1;

  function facts() {
    const [height, width] = [sizes[2 * index], sizes[2 * index + 1]];
    const original = Number.isNaN(number.width[index]) ? "" : `${number.width[index]} × ${number.height[index]}`;
    const kept = data.pictures.large ?? data.pictures.small;
    const factor = Math.min(1, kept.height / Math.max(height, width));
    const seen = `${Math.round(width * factor)} × ${Math.round(height * factor)}`;
    const rows = [
      ["Label", word.label(index)],
      ["Outcome", viewer.dataset[word.outcome(index).toLowerCase()] ?? word.outcome(index)],
      ["Score (fake)", digits(number.score[index], 3)],
      ["Logit", digits(number.logit[index], 2)],
      ["In training as", word.split(index)],
      ["Size", original && original !== seen ? `${original} pixels, shown at ${seen}` : original && `${original} pixels`],
      ["Face parts", word.parts_missing(index)],
    ];
    one("#viewer-facts").replaceChildren(
      ...rows
        .filter(([, value]) => value)
        .map(([name, value]) => {
          const line = make("div", "");
          line.append(make("dt", "", name), make("dd", "", value));
          return line;
        }),
    );
  }

  // The regions, by the share of the map that lies on each; the tick is the region's share of the picture.
  function bars() {
    const home = one("#viewer-regions");
    home.replaceChildren();
    one("#viewer-regions-title").hidden = true;
    if (!data.regions || pair() === null) return;
    const wanted = `${index} ${pair()}`;
    home.dataset.wanted = wanted;
    need(["area", `shares-${pair()}`], (areaText, shareText) => {
      if (home.dataset.wanted !== wanted) return;
      const names = data.regions.names;
      const part = (text) => shorts(text).subarray(index * names.length, (index + 1) * names.length);
      const [area, share] = [part(areaText), part(shareText)];
      const known = names
        .map((name, i) => ({ name, area: area[i] / 1e4, share: share[i] / 1e4, shown: share[i] !== 65535 && area[i] > 0 && !data.regions.inner[i] }))
        .filter(({ shown }) => shown)
        .sort((a, b) => b.share - a.share)
        .slice(0, MOST);
      const most = Math.max(...known.map((one) => Math.max(one.share, one.area)), 0.01);
      one("#viewer-regions-title").hidden = !known.length;
      home.replaceChildren(
        ...known.map(({ name, area, share }) => {
          const line = make("li", "");
          const bar = make("span", "bar");
          bar.style.setProperty("--v", `${(100 * share) / most}%`);
          bar.style.setProperty("--c", `${(100 * area) / most}%`);
          line.append(make("span", "name", name.replaceAll("_", " ")), bar, make("span", "cap", `${(100 * share).toFixed(0)} %, ${(share / area).toFixed(1)}×`));
          return line;
        }),
      );
    });
  }

  function view() {
    const place = state.open === "" ? -1 : row.indexOf(+state.open);
    if (place < 0) {
      if (viewer.open) viewer.close();
      return;
    }
    index = place;
    const path = columns.path[index];
    one("#viewer-title").textContent = path;
    const [height, width] = picture(one(".face", shot), index, true);
    shot.style.aspectRatio = `${width} / ${height}`;
    one(".face", shot).setAttribute("aria-label", path);
    shot.dataset.figure = `${path}-${data.layers[state.layer]}-${data.methods[state.method].key}`;
    const title = `${data.methods[state.method].name}, ${data.layers[state.layer]}`;
    paint(shot, index, +state.layer, +state.method, ({ text, highest, state: kind }) => {
      one("#viewer-cap").textContent = text
        ? `${title}: scale ${text}, highest cell ${highest}`
        : `${title}: ${kind === "empty" ? "empty, no positive value" : kind}`;
    });
    facts();
    bars();
    for (const button of all("[data-pick]", viewer)) {
      const [layer, method] = button.dataset.pick.split(",").map(Number);
      picture(one(".face", button), index);
      button.style.aspectRatio = shot.style.aspectRatio;
      paint(button, index, layer, method);
      button.setAttribute("aria-pressed", layer === +state.layer && method === +state.method);
    }
    if (!viewer.open) viewer.showModal();
  }
  globalThis.whyfake.viewer = view;

  function step(by) {
    const found = gallery.found();
    if (!found.length) return;
    const at = found.indexOf(index);
    const next = found[(at + by + found.length) % found.length];
    set({ open: String(row[next]), page: String(Math.floor(found.indexOf(next) / gallery.PAGE) + 1) }, true);
  }
  for (const button of all("[data-step]")) button.addEventListener("click", () => step(+button.dataset.step));
  for (const button of all("[data-pick]")) {
    button.addEventListener("click", () => {
      const [layer, method] = button.dataset.pick.split(",");
      set({ layer, method });
    });
  }
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    // A select or slider in focus needs the arrows itself, and so do the browser's own keys.
    if (by && !event.altKey && !event.ctrlKey && !event.metaKey && !event.target.matches("select, input, .scroll")) step(by);
  });
  viewer.addEventListener("close", () => {
    if (state.open !== "") set({ open: "" });
    const card = gallery.cards.find((one) => one.isConnected && one.index === index);
    one(".shot", card ?? document.createElement("div"))?.focus();
  });
  view();
})();
