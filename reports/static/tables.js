"use strict";
// Tables marked with data-table (the name of their download) sort, search, copy and download.
(() => {
  const PAGE = 50;
  const FEW = 5; // rows, below which there is nothing to search
  // "−" and thin spaces are for readers; a download is for programs.
  const tidy = (text) => text.replaceAll("−", "-").replace(/\s+/g, " ").trim();

  // What a cell or a heading is in a download; notes, bars and scales beside it are left out.
  function value(cell) {
    const given = cell.dataset.export ?? cell.dataset.order;
    if (given !== undefined || !cell.childElementCount) return tidy(given ?? cell.textContent);
    const copy = cell.cloneNode(true);
    for (const extra of copy.querySelectorAll("small, [aria-hidden]")) extra.remove();
    return tidy(copy.textContent);
  }

  function make(tag, name, text = "") {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  }
  function save(content, type, name) {
    const link = make("a", "");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // The room for the tools is kept from the start, so that nothing moves when they come.
  const tools = new Map();
  for (const table of document.querySelectorAll("table[data-table]")) {
    const bar = make("div", "table-tools");
    table.before(bar);
    tools.set(table, bar);
  }

  function enhance(table) {
    const bar = tools.get(table);
    const name = table.dataset.table;
    const headings = [...table.tHead.rows[0].cells];
    const titles = new Map(headings.map((heading) => [heading, value(heading)]));
    const rows = [...table.tBodies[0].rows];
    const long = rows.length > PAGE;
    // DataTables looks at the first row only to see which columns are sorted by data-order.
    headings.forEach((_, column) => {
      const cells = rows.map((row) => row.cells[column]);
      if (cells.some((cell) => "order" in cell.dataset)) for (const cell of cells) cell.dataset.order ??= tidy(cell.textContent);
    });
    const exported = {
      columns: (column) => !("skip" in headings[column].dataset),
      format: { header: (text, _, heading) => titles.get(heading) ?? text, body: (_, row, column, cell) => value(cell) },
    };
    // A spreadsheet takes these for formulas.
    const guard = (text) => (/^[=+\-@\t\r]/.test(text) && !Number.isFinite(+text) ? `'${text}` : text);
    const { header, body } = exported.format;
    const guarded = { ...exported, format: { header: (...cell) => guard(header(...cell)), body: (...cell) => guard(body(...cell)) } };
    const dt = new DataTable(table, {
      order: [],
      autoWidth: false,
      deferRender: true,
      paging: long,
      pageLength: PAGE,
      info: long,
      layout: { topStart: null, topEnd: null, bottomStart: long ? "info" : null, bottomEnd: long ? "paging" : null },
      columnDefs: [{ targets: headings.flatMap((heading, i) => ("skip" in heading.dataset ? [i] : [])), orderable: false, searchable: false }],
      language: { emptyTable: "No rows", zeroRecords: "No row fits", entries: { _: "rows", 1: "row" }, info: "_START_ to _END_ of _TOTAL_ _ENTRIES-TOTAL_", infoEmpty: "", infoFiltered: "(of _MAX_)" },
    });
    const records = () => {
      const { header, body } = dt.buttons.exportData(exported);
      const number = (text) => (text !== "" && Number.isFinite(+text) ? +text : text);
      return body.map((row) => Object.fromEntries(row.map((text, i) => [header[i], number(text)])));
    };
    new DataTable.Buttons(dt, {
      buttons: [
        { extend: "copyHtml5", text: "Copy", title: null, messageTop: null, exportOptions: exported, titleAttr: `Copy the table ${name}` },
        { extend: "csvHtml5", text: "CSV", filename: name, exportOptions: guarded, titleAttr: `Download ${name}.csv` },
        { text: "JSON", titleAttr: `Download ${name}.json`, action: () => save(JSON.stringify(records(), null, 1), "application/json", `${name}.json`) },
      ],
    });
    const search = make("input", "");
    Object.assign(search, { type: "search", placeholder: "Search", ariaLabel: `Search the table ${name}` });
    search.addEventListener("input", () => dt.search(search.value).draw());
    bar.append(...(rows.length < FEW ? [] : [search]), dt.buttons().container()[0]);
  }

  // The library stands in the page compressed: unpacking and running it is left for when the page has been drawn.
  const source = document.querySelector("#datatables");
  let unpacked = null;
  async function library() {
    unpacked ??= (async () => {
      const bytes = Uint8Array.from(atob(source.textContent), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      source.replaceWith(script);
      DataTable.ext.errMode = "throw";
    })();
    return unpacked;
  }

  // A table is enhanced when it comes near the view; one in a closed section never does before it is opened.
  function start() {
    const queue = [];
    const idle = window.requestIdleCallback ?? ((task) => setTimeout(task, 50));
    idle(library);
    const next = async () => {
      await library();
      enhance(queue.shift());
      if (queue.length) idle(next);
    };
    const watcher = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (!isIntersecting) continue;
          watcher.unobserve(target);
          if (queue.push(target) === 1) idle(next, { timeout: 500 });
        }
      },
      { rootMargin: "600px" },
    );
    for (const table of tools.keys()) watcher.observe(table);
  }
  if (document.readyState === "complete") start();
  else window.addEventListener("load", start);
})();
