"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const root = document.documentElement;

  // Mean maps and face parts: one table of several is shown.
  const shown = {};
  function show(section) {
    for (const table of all(`[data-in="${section}"]`)) {
      // What does not name a key is shown whatever its value.
      table.hidden = Object.entries(shown[section]).some(([key, value]) => (table.dataset[key] ?? value) !== value);
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
  for (const dialog of all("dialog")) {
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
  all("main > section, main > header").forEach((section) => here.observe(section));
})();
