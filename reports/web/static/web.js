"use strict";
// The page: takes images, asks the server, shows what it says.
(() => {
  const { make, draw, bar, percent } = globalThis.whyfake;
  const one = (what) => document.querySelector(what);
  const API = "/api/v1";
  const SAYS = { fake: "Fake", real: "Real", "not sure": "Not sure" };
  const WORDS = {
    passes: "A self-test of this architecture: at this layer this method finds what was planted.",
    fails: "A self-test of this architecture: at this layer this method misses what was planted. Do not believe this map.",
    unsure: "A self-test of this architecture was undecided about this method at this layer.",
    "": "No self-test has shown that this map can be believed; 'whyfake selftest' runs one.",
  };
  const state = { files: [], token: "", models: new Map(), unsure: [0.4, 0.6], answers: [], model: "", image: null, asked: 0, effects: new Map() };

  const say = (text) => (one("#status").textContent = text);
  function complain(text) {
    one("#problem").textContent = text;
    one("#problem").hidden = !text;
  }

  async function ask(address, options = {}) {
    const headers = state.token ? { Authorization: `Bearer ${state.token}` } : {};
    let reply;
    try {
      reply = await fetch(address, { ...options, headers });
    } catch {
      throw new Error("The server cannot be reached.");
    }
    if (reply.status === 401) {
      one("#token").hidden = false;
      one("#token-field").focus();
    }
    if (!reply.ok) {
      const told = await reply.json().catch(() => ({}));
      throw new Error(told.error ? `${told.error[0].toUpperCase()}${told.error.slice(1)}.` : `The server answered ${reply.status}.`);
    }
    return reply;
  }

  function form(files) {
    const found = new FormData();
    for (const file of files) found.append("image", file, file.name || "pasted.png");
    return found;
  }
  const send = (what, files, query = "") => ask(`${API}/${what}${query}`, { method: "POST", body: form(files) });
  const within = (model) => `?model=${encodeURIComponent(model)}`;

  async function submit(files) {
    if (!files.length) return;
    const number = ++state.asked;
    const several = files.length > 1 || /\.zip$/i.test(files[0].name ?? "");
    state.files = files;
    state.effects.clear();
    complain("");
    say(several ? "Looking at the images …" : "Looking at the image …");
    try {
      const found = await (await send(several ? "predict" : "explain", files)).json();
      if (number !== state.asked) return; // another was sent meanwhile
      one("#answer").hidden = false;
      one("#one").hidden = one("#models").hidden = several;
      one("#several").hidden = !several;
      if (several) table(found.images);
      else await show(found.images[0]);
      say(several ? `${found.images.length} images answered.` : `${found.images[0].name}: ${found.images[0].width} × ${found.images[0].height} pixels.`);
      one("#answer-title").scrollIntoView({ block: "start" });
    } catch (error) {
      if (number !== state.asked) return;
      say("");
      complain(error.message);
    }
  }

  function table(images) {
    const rows = images.flatMap((image) => (image.answers ?? [{ model: "", error: image.error }]).map((answer) => [image, answer]));
    one("#batch tbody").replaceChildren(
      ...rows.map(([image, answer]) => {
        const row = make("tr");
        const name = make("th", "path", image.name);
        name.scope = "row";
        const cells = [answer.model, answer.error ? "No answer" : SAYS[answer.answer], answer.error ? "" : percent(answer.probability), answer.error ?? answer.note];
        row.append(name, ...cells.map((text, i) => make("td", i === 2 ? "num" : "", text)));
        return row;
      }),
    );
  }

  async function show(image) {
    state.answers = image.answers;
    const first = image.answers.find((answer) => answer.model === state.model && !answer.error) ?? image.answers.find((answer) => !answer.error);
    one("#models").replaceChildren(...image.answers.map(card));
    await choose(first.model);
  }

  function card(answer) {
    const item = make("li");
    const button = make("button", "card");
    button.type = "button";
    button.dataset.model = answer.model;
    button.append(make("span", "name", answer.model));
    if (answer.error) {
      button.disabled = true;
      button.append(make("span", "says", "No answer"), make("span", "note", answer.error));
    } else {
      const [low, high] = state.unsure;
      const p = answer.probability;
      button.append(
        make("span", `says ${answer.answer}`, SAYS[answer.answer]),
        bar("meter", `probability of fake ${percent(p)}`, [["ground", 0, 1], ["band", low, high - low], ["value", Math.min(p, 0.99), 0.012]]),
        make("span", "note", `Probability of fake ${percent(p)}${answer.calibrated ? ", calibrated" : ", the model's own score (not calibrated)"}; logit ${answer.logit.toFixed(2).replace("-", "−")}`),
        make("span", "note", answer.note && `The upload was ${answer.note}.`),
      );
      button.addEventListener("click", () => choose(answer.model));
    }
    item.append(button);
    return item;
  }

  const current = () => state.answers.find((answer) => answer.model === state.model);
  const chosen = () => current().maps.findIndex((map) => map.layer === one("#layer").value && map.method === one("#method").value);

  async function choose(model) {
    state.model = model;
    for (const button of document.querySelectorAll(".card")) button.setAttribute("aria-pressed", button.dataset.model === model);
    const answer = current();
    state.image = new Image();
    state.image.src = `data:image/jpeg;base64,${answer.view.jpeg}`;
    await state.image.decode();
    const methods = new Map(answer.maps.map((map) => [map.method, map.title]));
    const before = one("#method").value;
    one("#method").replaceChildren(...[...methods].map(([name, title]) => new Option(title, name)));
    const usual = state.models.get(model).methods.at(-1)?.name;
    one("#method").value = methods.has(before) ? before : methods.has(usual) ? usual : [...methods.keys()].at(-1);
    layers();
  }

  function layers() {
    const maps = current().maps.filter((map) => map.method === one("#method").value);
    const before = one("#layer").value;
    one("#layer").replaceChildren(...maps.map((map) => new Option(map.layer === "input" ? "the image itself" : map.layer, map.layer)));
    one("#layer").value = maps.some((map) => map.layer === before) ? before : maps.at(-1).layer;
    one("#strip").replaceChildren(
      ...maps.map((map) => {
        const [item, button, canvas] = [make("li"), make("button"), make("canvas")];
        button.type = "button";
        button.dataset.layer = map.layer;
        draw(canvas, state.image, map, 0.8, 188, Math.round((188 * current().view.height) / current().view.width));
        button.append(canvas, map.empty ? `${map.layer} (empty)` : map.layer);
        button.addEventListener("click", () => {
          one("#layer").value = map.layer;
          paint();
        });
        item.append(button);
        return item;
      }),
    );
    paint();
  }

  function paint() {
    const map = current().maps[chosen()];
    const opacity = one("#opacity").value / 100;
    one("#opacity-value").textContent = `${one("#opacity").value} %`;
    draw(one("#stage"), state.image, map, opacity);
    const where = map.layer === "input" ? "the image itself" : map.layer;
    const range = map.empty ? "empty: nothing speaks for fake" : map.signed ? `orange speaks for fake, purple for real; strongest ${map.scale}` : `0 to ${map.scale}`;
    one("#caption").textContent = `${map.title}, ${where}: ${range}`;
    one("#stage").setAttribute("aria-label", `The image with the map of ${map.title} at ${where} over it`);
    one("#word").textContent = WORDS[map.selftest];
    one("#word").className = `word ${map.selftest}`;
    for (const button of document.querySelectorAll("#strip button")) button.setAttribute("aria-pressed", button.dataset.layer === map.layer);
    parts();
  }

  function parts() {
    const answer = current();
    const known = state.effects.get(state.model);
    const found = (answer.parts ?? []).map((part) => ({ ...part, share: part.shares[chosen()] })).filter((part) => part.area > 0);
    found.sort((a, b) => (b.share ?? -1) - (a.share ?? -1));
    const most = Math.max(0.01, ...found.map((part) => Math.max(part.share ?? 0, part.area)));
    one("#parts").hidden = one("#measure").hidden = !found.length;
    one("#parts-lead").textContent = found.length ? "" : answer.faceless[0].toUpperCase() + answer.faceless.slice(1);
    one("#effect-head").textContent = known ? `${known.kind}: change of the logit` : "Effect";
    one("#effect-lead").textContent = known?.text ?? "";
    one("#parts tbody").replaceChildren(
      ...found.map(({ part, area, share }) => {
        const row = make("tr");
        const name = make("th", "", part.replaceAll("_", " "));
        name.scope = "row";
        const cell = make("td");
        cell.append(bar("bar", `${percent(share)} of the map`, [["ground", 0, 1], ["value", 0, (share ?? 0) / most], ["tick", Math.min(area / most, 0.995), 0.005]]));
        row.append(name, make("td", "num", percent(area)), make("td", "num", percent(share)), cell, make("td", "num", known?.of.get(part) ?? "–"));
        return row;
      }),
    );
  }

  const SWAPPED = "The part of a face of the other class in its place. In brackets the control: that of a face of the same class, which should change little. A negative change means that the part spoke for fake.";
  const BLURRED = "The part blurred. That takes fine detail away and adds smoothness, which may itself look generated; start the server with --donors DATA to swap parts instead. A negative change means that the part spoke for fake.";
  const signed = (value) => (value === null || value === undefined ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`);

  async function measure() {
    const [model, number, progress] = [state.model, state.asked, one("#progress")];
    const swaps = state.models.get(model).swaps;
    const known = { kind: swaps ? "Swapped" : "Blurred", text: swaps ? SWAPPED : BLURRED, of: new Map() };
    one("#measure").disabled = true;
    [progress.hidden, progress.value] = [false, 0];
    complain("");
    try {
      const reply = await send("effects", state.files, within(model));
      let text = "";
      for (const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
        const { value, done } = await reader.read();
        text += value ?? "";
        const lines = text.split("\n");
        text = lines.pop();
        for (const line of lines.filter(Boolean).map((line) => JSON.parse(line))) {
          if (line.error) throw new Error(line.error);
          progress.value = line.done / line.of;
          if (!line.part) continue;
          const effect = swaps ? `${signed(line.effect.opposite)} (${signed(line.effect.same)})` : signed(line.effect.blur);
          known.of.set(line.part, effect);
        }
        if (done) break;
        if (number !== state.asked) {
          await reader.cancel(); // or the server would go on measuring for nobody
          break;
        }
        state.effects.set(model, known);
        if (state.model === model) parts();
      }
    } catch (error) {
      if (number === state.asked) complain(error.message);
    }
    one("#measure").disabled = false;
    progress.hidden = true;
  }

  async function report() {
    one("#report").disabled = true;
    say("Making the report …");
    try {
      const link = make("a");
      link.href = URL.createObjectURL(await (await send("report", state.files)).blob());
      link.download = "whyfake-report.html";
      link.click();
      say("The report was made.");
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      say("");
      complain(error.message);
    }
    one("#report").disabled = false;
  }

  async function start() {
    try {
      const found = await (await ask(`${API}/models`)).json();
      state.models = new Map(found.models.map((model) => [model.name, model]));
      state.unsure = found.unsure;
      say(found.models.map((model) => `${model.name} sees ${model.width} × ${model.height} pixels`).join("; "));
      one("#token").hidden = true;
      complain("");
    } catch (error) {
      complain(error.message);
    }
  }

  const drop = one("#drop");
  one("#files").addEventListener("change", (event) => submit([...event.target.files]));
  for (const name of ["dragover", "dragleave", "drop"])
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") submit([...event.dataTransfer.files]);
    });
  document.addEventListener("paste", (event) => submit([...event.clipboardData.files]));
  for (const button of document.querySelectorAll(".sample"))
    button.addEventListener("click", async () => {
      const content = await (await fetch(`/samples/${button.dataset.name}.jpg`)).blob();
      submit([new File([content], `${button.dataset.name}.jpg`, { type: "image/jpeg" })]);
    });
  one("#method").addEventListener("change", layers);
  one("#layer").addEventListener("change", paint);
  one("#opacity").addEventListener("input", paint);
  one("#measure").addEventListener("click", measure);
  one("#report").addEventListener("click", report);
  one("#token").addEventListener("submit", (event) => {
    event.preventDefault();
    state.token = one("#token-field").value;
    start();
  });
  start();
})();
