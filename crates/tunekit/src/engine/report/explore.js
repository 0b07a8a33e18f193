"use strict";
// Parallel coordinates, scatter plots of each pair, and the table, all of one filter. The filter's text is the state:
// brushing an axis writes into it, so that whatever the mouse can do the keyboard can do.
(() => {
  const data = JSON.parse(document.getElementById("trials-data").textContent);
  const root = document.getElementById("explore");
  const table = document.querySelector("table.trials");
  if (!root || !table || !data.columns.length) return;
  const rows = data.columns[0].v.length;
  const columns = data.columns;
  const metric = columns.findIndex((c) => c.metric);
  const sign = data.goal === "max" ? -1 : 1;
  const text = (c, i) => {
    const v = c.v[i];
    if (v === null) return c === columns[metric] && data.why[i] ? data.why[i] : "";
    return c.choices ? c.choices[v] : String(v);
  };
  const make = (name, set = {}, parent = null) => {
    const element = Object.assign(document.createElement(name), set);
    if (parent) parent.append(element);
    return element;
  };
  // ---- The filter: words; `name<1`, `name>=1`, `name=a`, or a text that a cell holds.
  const bar = make("p", { className: "filter" }, root);
  const label = make("label", { textContent: "Filter " }, bar);
  const input = make("input", { type: "search", size: 44, spellcheck: false, placeholder: "lr<0.01 status=completed" }, label);
  const clear = make("button", { type: "button", textContent: "Clear" }, bar);
  const count = make("output", {}, bar);
  count.setAttribute("aria-live", "polite");
  const test = (word) => {
    const parts = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/.exec(word);
    // Parameters come last: a name that two columns have is the parameter's.
    const column = parts && columns.findLast((c) => c.name === parts[1]);
    if (!column) {
      const lower = word.toLowerCase();
      return (i) => columns.some((c) => text(c, i).toLowerCase().includes(lower));
    }
    const [, , op, right] = parts;
    const number = Number(right);
    return (i) => {
      const v = column.v[i];
      if (v === null) return false;
      if (column.choices) return op === "=" && column.choices[v] === right;
      return op === "<" ? v < number : op === "<=" ? v <= number : op === ">" ? v > number
        : op === ">=" ? v >= number : v === number;
    };
  };
  const words = () => (input.value.match(/"[^"]*"|\S+/g) || []).map((w) => w.replace(/"/g, ""));
  // ---- State.
  let kept = new Uint8Array(rows).fill(1);
  let order = Array.from({ length: rows }, (_, i) => i);
  let sorted = metric, down = sign < 0, shown = 200, lit = -1;
  const losses = columns[metric].v.map((v) => (v === null ? Infinity : sign * v));
  const ranks = (() => {
    const by = order.slice().sort((a, b) => losses[a] - losses[b]);
    const rank = new Float32Array(rows);
    by.forEach((row, place) => { rank[row] = rows > 1 ? place / (rows - 1) : 0; });
    return rank;
  })();
  const sort = () => {
    const { v, choices } = columns[sorted];
    const key = (i) => (v[i] === null ? null : choices ? choices[v[i]] : v[i]);
    order.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      return (x < y ? -1 : x > y ? 1 : a - b) * (down ? -1 : 1);
    });
  };
  // ---- The table.
  const head = table.tHead.rows[0], body = table.tBodies[0];
  [...head.cells].forEach((cell, at) => {
    if (at >= columns.length) return;
    const name = cell.textContent;
    cell.textContent = "";
    if (!columns[at].choices) cell.className = "number";
    const button = make("button", { type: "button", textContent: name, title: `Sort by ${name}` }, cell);
    button.onclick = () => { down = sorted === at ? !down : false; sorted = at; shown = 200; sort(); fill(); };
  });
  const more = make("button", { type: "button", textContent: "Show more rows" });
  table.parentElement.after(more);
  more.onclick = () => { shown += 1000; fill(); };
  const note = document.getElementById("table-note");
  if (note && data.all > rows) note.textContent = `${rows} of ${data.all} trials are on this page, the best among them; all are in results.csv.`;
  else if (note) note.remove();
  const fill = () => {
    [...head.cells].forEach((cell, at) =>
      cell.setAttribute("aria-sort", at !== sorted ? "none" : down ? "descending" : "ascending"));
    const fresh = document.createDocumentFragment();
    let n = 0, all = 0;
    for (const i of order) {
      if (!kept[i]) continue;
      all += 1;
      if (n >= shown) continue;
      n += 1;
      const row = make("tr", { tabIndex: n === 1 ? 0 : -1 }, fresh);
      row.dataset.row = i;
      if (i === data.best) row.className = "chosen";
      for (const c of columns) make("td", { className: c.choices ? "" : "number", textContent: text(c, i) }, row);
    }
    body.replaceChildren(fresh);
    more.hidden = n >= all;
    count.textContent = ` ${all} of ${rows} trials${data.all > rows ? ` on this page; the study has ${data.all}` : ""}`;
  };
  const light = (i) => { if (i !== lit) { lit = i; draw(); } };
  const rowOf = (event) => { const row = event.target.closest("tr"); return row ? Number(row.dataset.row) : -1; };
  body.addEventListener("mouseover", (event) => light(rowOf(event)));
  body.addEventListener("mouseleave", () => light(-1));
  body.addEventListener("focusin", (event) => light(rowOf(event)));
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const next = event.key === "ArrowDown" ? row.nextElementSibling : event.key === "ArrowUp" ? row.previousElementSibling : null;
    if (next) { event.preventDefault(); row.tabIndex = -1; next.tabIndex = 0; next.focus(); }
  });
  // ---- Pictures.
  const axes = columns.filter((c) => c.axis && new Set(c.v).size > 1).slice(0, 14);
  const scale = (c) => {
    const values = c.v.filter((v) => v !== null);
    let low = Infinity, high = -Infinity;
    for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
    if (c.choices) return { to: (v) => (v + 0.5) / c.choices.length, from: (y) => y * c.choices.length - 0.5, low: 0, high: c.choices.length - 1 };
    const log = c.log && low > 0;
    const f = log ? Math.log : (v) => v, g = log ? Math.exp : (v) => v;
    const span = f(high) - f(low) || 1;
    return { to: (v) => (f(v) - f(low)) / span, from: (y) => g(f(low) + y * span), low, high };
  };
  const scales = new Map(axes.map((c) => [c, scale(c)]));
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const canvas = (title, height, role) => {
    make("h3", { textContent: title }, root);
    const element = make("canvas", {}, root);
    element.style.width = "100%";
    element.style.height = `${height}px`;
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", role);
    return element;
  };
  const begin = (element) => {
    const width = element.clientWidth, height = element.clientHeight, ratio = window.devicePixelRatio || 1;
    element.width = width * ratio;
    element.height = height * ratio;
    const pen = element.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    return { pen, width, height };
  };
  const short = (v) => (Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential(1) : String(+v.toPrecision(3)));
  const parallel = axes.length > 1 && canvas("Parallel coordinates", 340,
    "A line a trial through its values on every axis; the table below holds the same numbers");
  const drawn = parallel && make("p", { className: "caption",
    textContent: "A line a trial; the better its metric, the bluer. Drag along an axis to filter; the words appear in the filter, where they can be typed as well." }, root);
  const side = Math.min(axes.length, 6);
  const matrix = axes.length > 1 && canvas("Scatter plots of each pair", Math.min(900, 110 * side + 40),
    "A dot a trial for each pair of columns; the table below holds the same numbers");
  const tip = make("div", { className: "tip", hidden: true }, root);
  const left = 60, top = 26, bottom = 22;
  const place = (k, width) => left + (k * (width - 2 * left)) / Math.max(1, axes.length - 1);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  // The few best stand out: a colour by the root of the rank.
  const mix = (i) => {
    const pale = Math.sqrt(ranks[i]);
    return `hsl(214 ${90 - 75 * pale}% ${scheme.matches ? 74 - 34 * pale : 38 + 36 * pale}%)`;
  };
  const drawParallel = () => {
    const { pen, width, height } = begin(parallel);
    const y = (c, v) => height - bottom - scales.get(c).to(v) * (height - top - bottom);
    const line = (i) => {
      pen.beginPath();
      let open = false;
      axes.forEach((c, k) => {
        const v = c.v[i];
        if (v === null) { open = false; return; }
        const [px, py] = [place(k, width), y(c, v)];
        if (open) pen.lineTo(px, py); else pen.moveTo(px, py);
        open = true;
      });
      pen.stroke();
    };
    pen.lineWidth = 1;
    pen.globalAlpha = rows > 2000 ? 0.05 : 0.12;
    pen.strokeStyle = colour("trial");
    for (let i = 0; i < rows; i += 1) if (!kept[i]) line(i);
    // The best last, on top.
    const by = Array.from({ length: rows }, (_, i) => i).filter((i) => kept[i]).sort((a, b) => ranks[b] - ranks[a]);
    for (const [place, i] of by.entries()) {
      const last = by.length - place;
      pen.globalAlpha = Math.max(0.05, Math.min(0.8, last <= 50 ? 0.8 : 150 / by.length));
      pen.strokeStyle = mix(i);
      line(i);
    }
    pen.globalAlpha = 1;
    if (lit >= 0) { pen.lineWidth = 3; pen.strokeStyle = colour("before"); line(lit); }
    pen.textAlign = "center";
    axes.forEach((c, k) => {
      const x = place(k, width);
      pen.lineWidth = 1;
      pen.strokeStyle = colour("muted");
      pen.beginPath(); pen.moveTo(x, top); pen.lineTo(x, height - bottom); pen.stroke();
      pen.fillStyle = colour("ink");
      pen.fillText(c.name.slice(0, 16), x, 12);
      pen.fillStyle = colour("muted");
      if (c.choices) {
        pen.textAlign = k === axes.length - 1 ? "left" : "right";
        const beside = k === axes.length - 1 ? 7 : -7;
        pen.lineWidth = 3;
        pen.strokeStyle = colour("card");
        pen.fillStyle = colour("ink");
        c.choices.slice(0, 12).forEach((name, v) => {
          pen.strokeText(String(name).slice(0, 8), x + beside, y(c, v) + 4);
          pen.fillText(String(name).slice(0, 8), x + beside, y(c, v) + 4);
        });
        pen.textAlign = "center";
      } else {
        pen.fillText(short(scales.get(c).high), x, top - 3);
        pen.fillText(short(scales.get(c).low), x, height - 6);
      }
    });
  };
  // The metric with the parameters that come first.
  const pairs = axes.slice().sort((a, b) => (b.metric ? 1 : 0) - (a.metric ? 1 : 0)).slice(0, side);
  const cellAt = (width, height, a, b) => {
    const [w, h] = [(width - left) / side, (height - bottom) / side];
    return { x: left + a * w, y: b * h, w: w - 8, h: h - 8 };
  };
  const drawMatrix = () => {
    const { pen, width, height } = begin(matrix);
    // Each kind is thinned by itself: a few kept trials must not fall between.
    const thinned = (keep) => {
      const all = [];
      for (let i = 0; i < rows; i += 1) if (kept[i] === keep) all.push(i);
      const every = Math.max(1, Math.ceil(all.length / 2500));
      return all.filter((_, at) => at % every === 0);
    };
    const [pale, strong] = [thinned(0), thinned(1)];
    pairs.forEach((down, b) => pairs.forEach((across, a) => {
      const cell = cellAt(width, height, a, b);
      pen.strokeStyle = colour("grid");
      pen.strokeRect(cell.x, cell.y, cell.w, cell.h);
      if (a === 0) { pen.textAlign = "right"; pen.fillStyle = colour("ink"); pen.fillText(down.name.slice(0, 9), left - 6, cell.y + cell.h / 2); }
      if (b === side - 1) { pen.textAlign = "center"; pen.fillStyle = colour("ink"); pen.fillText(across.name.slice(0, 14), cell.x + cell.w / 2, height - 6); }
      if (a === b) return;
      const dot = (i, size) => {
        const [u, v] = [across.v[i], down.v[i]];
        if (u === null || v === null) return;
        pen.fillRect(cell.x + scales.get(across).to(u) * cell.w - size / 2, cell.y + (1 - scales.get(down).to(v)) * cell.h - size / 2, size, size);
      };
      pen.globalAlpha = 0.15;
      pen.fillStyle = colour("trial");
      for (const i of pale) dot(i, 2);
      pen.globalAlpha = 0.7;
      for (const i of strong) { pen.fillStyle = mix(i); dot(i, 3); }
      pen.globalAlpha = 1;
      if (lit >= 0) { pen.fillStyle = colour("before"); dot(lit, 8); }
    }));
  };
  let due = false;
  const draw = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; if (parallel) drawParallel(); if (matrix) drawMatrix(); });
  };
  // ---- Pointing: the nearest trial, and brushes on the axes.
  const at = (element, event) => { const box = element.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const show = (i, event) => {
    light(i);
    tip.hidden = i < 0;
    if (i < 0) return;
    tip.textContent = columns.map((c) => `${c.name} ${text(c, i)}`).join(", ");
    tip.style.left = `${Math.min(event.pageX + 14, document.documentElement.scrollWidth - 280)}px`;
    tip.style.top = `${event.pageY + 14}px`;
  };
  // Rounded so that no trial at the end of a brush is left out.
  const outwards = (v, up) => {
    const near = +v.toPrecision(4);
    if (up ? near >= v : near <= v) return near;
    const step = 10 ** (Math.floor(Math.log10(Math.abs(v))) - 3);
    return +(near + (up ? step : -step)).toPrecision(4);
  };
  if (parallel) {
    let brush = null;
    const axisAt = (x) => axes.findIndex((_, k) => Math.abs(place(k, parallel.clientWidth) - x) < 14);
    parallel.onpointerdown = (event) => {
      const [x, y] = at(parallel, event), k = axisAt(x);
      if (k >= 0) { brush = { k, y }; parallel.setPointerCapture(event.pointerId); }
    };
    parallel.onpointercancel = () => { brush = null; };
    parallel.onpointerup = (event) => {
      if (!brush) return;
      const c = axes[brush.k], [, y] = at(parallel, event), h = parallel.clientHeight - top - bottom;
      // A brush that comes close to an axis' end is meant to reach it, and needs no bound there.
      const share = (py) => {
        const s = (parallel.clientHeight - bottom - py) / h;
        return s < 4 / h ? 0 : s > 1 - 4 / h ? 1 : s;
      };
      const [from, to] = [share(y), share(brush.y)].sort((a, b) => a - b);
      const [low, high] = [from, to].map((s) => scales.get(c).from(s));
      const rest = words().filter((w) => !["<", ">", "="].some((op) => w.startsWith(c.name + op)));
      const quoted = (w) => (/\s/.test(w) ? `"${w}"` : w);
      if (Math.abs(y - brush.y) > 4) {
        if (c.choices) {
          const one = Math.min(c.choices.length - 1, Math.max(0, Math.round((low + high) / 2)));
          rest.push(`${c.name}=${c.choices[one]}`);
        } else {
          if (from > 0) rest.push(`${c.name}>=${outwards(low, false)}`);
          if (to < 1) rest.push(`${c.name}<=${outwards(high, true)}`);
        }
      }
      brush = null;
      input.value = rest.map(quoted).join(" ");
      filter();
    };
    parallel.onpointermove = (event) => {
      if (brush) return;
      const [x, y] = at(parallel, event), width = parallel.clientWidth, height = parallel.clientHeight;
      const k = Math.max(0, Math.min(axes.length - 2, Math.floor(((x - left) / (width - 2 * left)) * (axes.length - 1))));
      const part = (x - place(k, width)) / (place(k + 1, width) - place(k, width));
      let best = -1, least = 10;
      for (let i = 0; i < rows; i += 1) {
        const [u, v] = [axes[k].v[i], axes[k + 1].v[i]];
        if (!kept[i] || u === null || v === null) continue;
        const to = scales.get(axes[k]).to(u) * (1 - part) + scales.get(axes[k + 1]).to(v) * part;
        const distance = Math.abs(height - bottom - to * (height - top - bottom) - y);
        if (distance < least) { least = distance; best = i; }
      }
      show(best, event);
    };
    parallel.onpointerleave = () => { tip.hidden = true; light(-1); };
  }
  if (matrix) {
    matrix.onpointermove = (event) => {
      const [x, y] = at(matrix, event), width = matrix.clientWidth, height = matrix.clientHeight;
      const a = Math.floor((x - left) / ((width - left) / side)), b = Math.floor(y / ((height - bottom) / side));
      if (!pairs[a] || !pairs[b] || a === b) return show(-1, event);
      const cell = cellAt(width, height, a, b);
      let best = -1, least = 64;
      for (let i = 0; i < rows; i += 1) {
        const [u, v] = [pairs[a].v[i], pairs[b].v[i]];
        if (!kept[i] || u === null || v === null) continue;
        const dx = cell.x + scales.get(pairs[a]).to(u) * cell.w - x, dy = cell.y + (1 - scales.get(pairs[b]).to(v)) * cell.h - y;
        if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = i; }
      }
      show(best, event);
    };
    matrix.onpointerleave = () => { tip.hidden = true; light(-1); };
  }
  const filter = () => {
    const tests = words().map(test);
    for (let i = 0; i < rows; i += 1) kept[i] = tests.every((t) => t(i)) ? 1 : 0;
    shown = 200;
    fill();
    draw();
  };
  input.oninput = filter;
  clear.onclick = () => { input.value = ""; filter(); input.focus(); };
  scheme.addEventListener("change", draw);
  addEventListener("resize", draw);
  sort();
  filter();
  document.documentElement.dataset.explored = String(rows);
})();
