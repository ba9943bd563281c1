// The page of `transfercast serve`. Everything is drawn with DOM nodes and text, never with markup, so names stay names.

const view = document.getElementById("main");
const REFRESH_MS = 4000;
let about = null;
let timer = null;

// ---- nodes

function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const number = (value, digits = 3) => (value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits));
const signed = (value, digits = 3) => (value === null || value === undefined ? "–" : (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(digits));
const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);

function duration(hours) {
  if (hours === null || hours === undefined) return "–";
  if (hours >= 1) return `${hours.toFixed(1)} h`;
  return hours >= 1 / 60 ? `${Math.round(60 * hours)} min` : `${Math.round(3600 * hours)} s`;
}

const say = (text, kind = "") => el("p", { class: `say ${kind}`, role: kind === "error" ? "alert" : "status" }, text);
const card = (title, ...children) => el("section", { class: "card" }, title && el("h2", {}, title), ...children);

// ---- asking

class Refused extends Error {}

async function ask(path, options = {}) {
  const headers = { ...(options.headers ?? {}) };
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store" });
  } catch {
    throw new Refused("The service does not answer. Is it still running?");
  }
  if (answer.status === 401) {
    await login(key ? "This key is wrong." : "");
    return ask(path, options);
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(detail(content.detail) || `The service answered with ${answer.status}.`);
  return content;
}

function detail(told) {
  if (!Array.isArray(told)) return told;
  return told.map((one) => `${one.loc.join(" ")}: ${one.msg}${one.input ? ` (${one.input})` : ""}`).join("\n");
}

const post = (path, body) => ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });
const send = (path, file, kind) => ask(path, { method: "POST", headers: { "Content-Type": kind }, body: file });

let asking = null;

function login(problem) {
  asking ??= new Promise((resolve) => {
    const field = el("input", { type: "password", id: "key", autocomplete: "off", required: true });
    const dialog = el("dialog", { "aria-labelledby": "login" });
    const form = el("form", { onsubmit: (event) => {
      event.preventDefault();
      sessionStorage.setItem("key", field.value.trim());
      dialog.close(); dialog.remove(); asking = null; resolve();
    } },
    el("h2", { id: "login" }, "This service asks for a key"), problem && say(problem, "error"),
    el("label", { for: "key" }, "The key that it was started with"), field,
    el("p", { class: "soft" }, "It is kept until this tab is closed and sent as a header, as by any other client."),
    el("button", { class: "main" }, "Log in"));
    dialog.append(form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

async function shown(place, work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(say(error.message, "error"));
  }
}

// ---- a table that sorts and filters

function table({ columns, rows, label, order = null, more = null, marked = null }) {
  const body = el("tbody");
  const count = el("span", { class: "soft", role: "status" });
  let sorted = order, words = "";
  const nodes = new Map(rows.map((row) => [row, lineOf(row)]));

  function lineOf(row) {
    const line = el("tr", { class: marked?.(row) }, columns.map((column) => el("td", { class: column.text ? column.class : `num ${column.class ?? ""}` }, column.cell ? column.cell(row) : cellOf(column, row))));
    if (!more) return [line];
    const whole = el("tr", { class: "whyrow", hidden: true }, el("td", { colspan: columns.length }));
    line.querySelector("button")?.addEventListener("click", (event) => {
      if (!whole.firstChild.hasChildNodes()) whole.firstChild.append(more(row));
      whole.hidden = !whole.hidden;
      event.currentTarget.setAttribute("aria-expanded", String(!whole.hidden));
    });
    return [line, whole];
  }

  function draw() {
    let chosen = words ? rows.filter((row) => columns.some((column) => column.text && String(column.value(row) ?? "").toLowerCase().includes(words))) : [...rows];
    if (sorted) {
      const { value } = columns[sorted.column];
      const up = sorted.descending ? -1 : 1;
      chosen.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null || x === undefined) return 1;
        if (y === null || y === undefined) return -1;
        return (x < y ? -1 : x > y ? 1 : 0) * up;
      });
    }
    body.replaceChildren(...chosen.flatMap((row) => nodes.get(row)));
    count.textContent = chosen.length === rows.length ? `${rows.length} rows` : `${chosen.length} of ${rows.length} rows`;
    heads.forEach((head, index) => head.setAttribute("aria-sort", sorted?.column === index ? (sorted.descending ? "descending" : "ascending") : "none"));
  }

  const heads = columns.map((column, index) => el("th", { class: column.text ? "" : "num", scope: "col", title: column.help },
    el("button", { type: "button", onclick: () => { sorted = { column: index, descending: sorted?.column === index ? !sorted.descending : !column.text }; draw(); } }, column.name)));
  const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": `Filter ${label}`, oninput: (event) => { words = event.target.value.toLowerCase(); draw(); } });
  draw();
  return el("div", {}, el("div", { class: "fields" }, filter, count),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, el("table", {}, el("thead", {}, el("tr", {}, heads)), body)));
}

const cellOf = (column, row) => (column.text ? String(column.value(row) ?? "–") : (column.show ?? number)(column.value(row)));
const text = (name, value, rest = {}) => ({ name, value, text: true, ...rest });
const figure = (name, value, show = number, help = "") => ({ name, value, show, help });
const several = (rows) => new Set(rows.map((row) => row.encoder)).size > 1;
const encoderColumn = (rows) => (several(rows) ? [text("encoder", (row) => row.encoder)] : []);

// ---- charts

const WIDTH = 620, HEIGHT = 260, LEFT = 52, RIGHT = 14, TOP = 14, BOTTOM = 40;

function chart({ title, across, up, lines = [], dots = [], stop = null, diagonal = false }) {
  const xs = [...lines.flatMap((line) => line.points.map((p) => p[0])), ...dots.map((d) => d.x)];
  const ys = [...lines.flatMap((line) => line.points.map((p) => p[1])), ...dots.flatMap((d) => [d.y, d.low ?? d.y, d.high ?? d.y])];
  if (!xs.length) return el("p", { class: "soft" }, "Nothing to draw yet.");
  const box = { x0: Math.min(...xs), x1: Math.max(...xs), y0: Math.min(...ys), y1: Math.max(...ys) };
  if (diagonal) box.x0 = box.y0 = Math.min(box.x0, box.y0), box.x1 = box.y1 = Math.max(box.x1, box.y1);
  const [w, h] = [box.x1 - box.x0 || 1, box.y1 - box.y0 || 0.02];
  const X = (x) => LEFT + ((x - box.x0) / w) * (WIDTH - LEFT - RIGHT);
  const Y = (y) => HEIGHT - BOTTOM - ((y - box.y0 + (box.y1 === box.y0 ? 0.01 : 0)) / h) * (HEIGHT - TOP - BOTTOM);
  const marks = [0, 0.25, 0.5, 0.75, 1];
  const whole = xs.every(Number.isInteger);
  const every = Math.max(Math.ceil(w / 8), 1);
  const ticks = whole ? Array.from({ length: Math.floor(w / every) + 1 }, (_, index) => box.x0 + index * every) : marks.map((m) => box.x0 + m * w);
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title },
    svg("title", {}, title),
    marks.map((m) => svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: Y(box.y0 + m * h), y2: Y(box.y0 + m * h) })),
    marks.map((m) => svg("text", { x: LEFT - 6, y: Y(box.y0 + m * h) + 4, "text-anchor": "end" }, number(box.y0 + m * h, 2))),
    ticks.map((m) => svg("text", { x: X(m), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, number(m, whole ? 0 : w > 5 ? 1 : 2))),
    svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, across),
    svg("text", { x: -HEIGHT / 2 + 10, y: 13, "text-anchor": "middle", transform: "rotate(-90)" }, up),
    diagonal && svg("line", { class: "diagonal", x1: X(box.x0), y1: Y(box.y0), x2: X(box.x1), y2: Y(box.y1) }),
    stop !== null && [svg("line", { class: "stopline", x1: X(stop), x2: X(stop), y1: TOP, y2: HEIGHT - BOTTOM }), svg("text", { x: X(stop) - 4, y: TOP + 10, "text-anchor": "end" }, "stop here")],
    lines.map((line, index) => [
      svg("polyline", { class: `curve l${index % 7}`, points: line.points.map((p) => `${X(p[0]).toFixed(1)},${Y(p[1]).toFixed(1)}`).join(" ") }, svg("title", {}, line.name)),
      line.points.length < 40 && line.points.map((p) => svg("circle", { class: `s${index % 7}`, cx: X(p[0]), cy: Y(p[1]), r: 3 }, svg("title", {}, `${line.name}: ${number(p[1])}${p[2] ? `, ${p[2]}` : ""}`))),
    ]),
    dots.map((d) => [
      d.low !== undefined && d.low !== null && svg("line", { class: "range", y1: Y(d.y), y2: Y(d.y), x1: X(Math.max(d.low, box.x0)), x2: X(Math.min(d.high, box.x1)) }),
      svg("circle", { class: "dot", cx: X(d.x), cy: Y(d.y), r: 4 }, svg("title", {}, d.name)),
    ]));
}

function legend(names) {
  return el("ul", { class: "legend" }, names.map((name, index) => el("li", {}, svg("svg", { width: 12, height: 12, "aria-hidden": "true" }, svg("rect", { class: `s${index % 7}`, width: 12, height: 12, rx: 2 })), " ", name)));
}

// Contributions beside one another: to the right of the middle what speaks for a source, to the left what speaks against it.
function bar(why, groups, widest, width = 130) {
  let right = width / 2, left = width / 2;
  const parts = groups.filter((group) => why[group]).map((group) => {
    const size = Math.max((Math.abs(why[group]) / widest) * (width / 2 - 2), 0.5);
    const x = why[group] >= 0 ? (right += size) - size : (left -= size);
    return svg("rect", { class: `s${groups.indexOf(group) % 7}`, x, y: 2, width: size, height: 12 }, svg("title", {}, `${group} ${signed(why[group])}`));
  });
  const words = groups.filter((group) => why[group]).map((group) => `${group} ${signed(why[group])}`).join(", ");
  return svg("svg", { viewBox: `0 0 ${width} 16`, width, height: 16, role: "img", "aria-label": words || "no reasons" }, parts, svg("line", { class: "zero", x1: width / 2, x2: width / 2, y1: 0, y2: 16 }));
}

// ---- Plan

const chosen = { name: "", rows: null, trials: 8 };

async function planView() {
  const result = el("div", { "aria-live": "polite" });
  const slider = el("input", { type: "range", id: "budget", min: 1, max: 50, value: chosen.trials });
  const amount = el("output", { for: "budget", class: "number" });
  const names = (await ask("v1/tables")).tables;
  const pick = el("select", { id: "pick" }, el("option", { value: "" }, names.length ? "choose a table" : "no tables in the service's folder"), names.map((name) => el("option", { value: name, selected: name === chosen.name }, name)));
  const upload = el("input", { type: "file", id: "upload", accept: ".parquet" });

  const limit = () => {
    slider.max = Math.max(Math.min(chosen.rows?.rows.length ?? 50, 200), 1);
    slider.value = Math.min(chosen.trials, slider.max);
    amount.textContent = `${slider.value} transfers`;
  };
  const draw = () => shown(result, async () => {
    if (!chosen.rows) return result.replaceChildren(el("p", { class: "soft" }, "Choose or upload a feature table; 'transfercast features' writes one."));
    result.replaceChildren(el("p", { class: "soft", role: "status" }, "Planning …"));
    const plan = await post("v1/plans", { ...chosen.rows, budget: { trials: chosen.trials, per: "total" } });
    result.replaceChildren(...planParts(plan));
  });
  const take = (name, get) => shown(result, async () => {
    result.replaceChildren(el("p", { class: "soft", role: "status" }, "Reading the table …"));
    chosen.rows = null;
    chosen.rows = await get();
    chosen.name = name;
    limit();
    await draw();
  });
  pick.addEventListener("change", () => pick.value && take(pick.value, () => ask(`v1/tables/${encodeURIComponent(pick.value)}`)));
  upload.addEventListener("change", () => upload.files.length && take(upload.files[0].name, () => send("v1/tables", upload.files[0], "application/octet-stream")));
  slider.addEventListener("input", () => { amount.textContent = `${slider.value} transfers`; });
  slider.addEventListener("change", () => { chosen.trials = Number(slider.value); draw(); });
  limit();
  view.replaceChildren(el("h1", {}, "Plan"), el("p", { class: "lead" }, "Which source to fine-tune from for each target, in which order, and where to stop."),
    card("", el("div", { class: "fields" },
      el("label", { for: "pick" }, "Feature table", pick), el("label", { for: "upload" }, "or upload one (Parquet)", upload),
      el("div", {}, el("label", { for: "budget" }, "Budget: ", amount), slider))), result);
  await draw();
}

function planParts(plan) {
  const steps = plan.steps;
  const groups = [...new Set(steps.flatMap((step) => Object.keys(step.why)))];
  const orderOnly = plan.regret_left === null;
  const widest = Math.max(...steps.map((step) => Object.values(step.why).reduce((sum, value) => sum + Math.abs(value), 0)), 1e-9);
  const fresh = steps.filter((step) => !step.done).length;
  const hours = steps.every((step) => step.hours !== null) ? steps.reduce((sum, step) => sum + step.hours, 0) : null;
  const stop = plan.stop_after;
  const sentence = orderOnly
    ? `${fresh} trainings${hours === null ? "" : `, ${duration(hours)}`}. ${plan.basis}`
    : `${fresh} trainings, ${hours === null ? "of unknown time" : duration(hours)}. Stop after step ${stop}: ${number(plan.regret_left)} score units are then expected to be left. ${plan.basis}`;
  const columns = [
    figure("step", (s) => s.position, (v) => String(v)), text("source", (s) => s.source), ...encoderColumn(steps), text("target", (s) => s.target),
    figure("score", (s) => s.score, number, "expected score, in units of the target's metric"),
    { name: "interval", value: (s) => (s.lower === null ? null : s.upper - s.lower), cell: (s) => (s.lower === null ? "–" : `${number(s.lower, 2)} to ${number(s.upper, 2)}`), help: "nine of ten scores are expected in it" },
    figure("P(better)", (s) => s.beats_baseline, percent, "probability to score higher than the target trained alone"),
    figure("expected best", (s) => s.expected_best, number, "the best score that is expected to be in hand after this step"),
    figure("time", (s) => s.hours, duration),
    text("why", (s) => topReason(s), { class: "why", cell: (s) => (s.source !== "(alone)" ? el("button", { type: "button", "aria-expanded": "false", title: topReason(s) }, bar(s.why, groups, widest)) : el("span", { class: "soft" }, "the baseline")) }),
  ];
  const reasons = (step) => el("div", {}, el("p", {}, `${step.source} → ${step.target}, recipe ${step.recipe}${several(steps) ? `, encoder ${step.encoder}` : ""}: `,
    Object.entries(step.why).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).map(([group, value]) => `${group} ${signed(value)}`).join(", "), orderOnly ? " (as ranks; nothing says yet what a rank is worth)" : " in score units"));
  return [
    say(sentence, orderOnly ? "warn" : ""),
    el("div", { class: "grid" },
      card("Expected best against time", orderOnly ? el("p", { class: "soft" }, "An order has no expected scores. Transfers in the history change that.") : bestChart(plan)),
      card("Probability to improve", improveChart(steps))),
    card("Order", legend(groups), table({ columns, rows: steps, label: "Order of trainings", more: reasons, marked: (s) => (s.position === stop && !orderOnly ? "stop" : s.source === "(alone)" ? "quiet" : "") })),
    card("Run it", el("p", {}, "In the folder of the table:"), el("pre", {}, `transfercast plan ${chosen.name || "features.parquet"} --trials ${plan.budget.trials} --out plan.json\ntransfercast search plan.json --storage sqlite:///history.db`)),
  ];
}

function topReason(step) {
  const [first] = Object.entries(step.why).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  return first ? `${first[0]} ${signed(first[1])}` : step.source === "(alone)" ? "the baseline" : "";
}

function bestChart(plan) {
  const best = new Map();
  const targets = new Set(plan.steps.map((step) => step.target));
  const timed = plan.steps.every((step) => step.hours !== null);
  const unit = timed && plan.steps.reduce((sum, step) => sum + step.hours, 0) < 1 ? 60 : 1;
  let spent = 0, stop = null;
  const points = [];
  for (const step of plan.steps) {
    spent += timed ? unit * step.hours : 1;
    if (step.expected_best !== null) best.set(step.target, step.expected_best);
    if (best.size === targets.size) points.push([spent, [...best.values()].reduce((a, b) => a + b, 0) / best.size, `step ${step.position}`]);
    if (step.position === plan.stop_after) stop = spent;
  }
  return chart({ title: "Expected best score, mean over targets, against time", across: timed ? (unit === 60 ? "minutes" : "hours") : "trainings", up: "expected best", lines: [{ name: "expected best", points }], stop });
}

function improveChart(steps) {
  const known = steps.filter((step) => step.beats_baseline !== null && step.source !== "(alone)").slice(0, 12);
  if (!known.length) return el("p", { class: "soft" }, "Not known without history and without scores of the targets alone.");
  const row = 20;
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${known.length * row + 6}`, role: "img", "aria-label": "Probability to improve, first steps of the plan" },
    known.map((step, index) => [
      svg("text", { x: 250, y: index * row + 14, "text-anchor": "end" }, `${step.source} → ${step.target}`.slice(0, 38)),
      svg("rect", { class: step.beats_baseline >= 0.5 ? "up" : "down", x: 258, y: index * row + 3, width: Math.max(300 * step.beats_baseline, 1), height: 14, rx: 2 }),
      svg("text", { x: 264 + 300 * step.beats_baseline, y: index * row + 14 }, percent(step.beats_baseline)),
    ]));
}

// ---- Search

async function searchView() {
  const place = el("div");
  view.replaceChildren(el("h1", {}, "Search"), el("p", { class: "lead" }, "Searches of the plans in the service's folder, as they run: forecasts, scores, and the best score so far."), place);
  const draw = () => shown(place, async () => {
    if (!about.history) return place.replaceChildren(say("Searches are read from a history. Start the service with --history.", "warn"));
    const [searches, trainings] = await Promise.all([ask("v1/searches"), ask("v1/trainings?limit=60")]);
    const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.name));
    const parts = searches.map((search, index) => searchPart(search, open.size ? open.has(search.name) : index === 0));
    if (!searches.length) parts.push(say("No plan in the service's folder. 'transfercast plan' writes one; start the service with --folder where it lies."));
    parts.push(card("Learning curves of the last trainings", curvesOf(trainings)));
    const failed = trainings.filter((one) => one.ended === "failed");
    if (failed.length) parts.push(card("Failures", table({ label: "Failures", rows: failed, columns: [text("source", (t) => t.source), text("target", (t) => t.target), text("recipe", (t) => t.recipe), text("why", (t) => t.why)] })));
    place.replaceChildren(...parts);
    if (searches.some((search) => search.steps.some((step) => step.state === "running"))) timer = setTimeout(draw, REFRESH_MS);
  });
  await draw();
}

function searchPart(search, open) {
  const count = (state) => search.steps.filter((step) => step.state === state).length;
  const scored = search.steps.filter((step) => step.score !== null);
  const best = new Map();
  for (const step of scored) if (!best.has(step.target) || step.score > best.get(step.target).score) best.set(step.target, step);
  const alone = new Map();
  for (const step of scored) if (step.source === "(alone)") alone.set(step.target, Math.max(alone.get(step.target) ?? -Infinity, step.score));
  const both = scored.filter((step) => step.forecast !== null && step.source !== "(alone)");
  const inHand = new Map(), curve = [];
  scored.forEach((step, index) => {
    inHand.set(step.target, Math.max(inHand.get(step.target) ?? -Infinity, step.score));
    curve.push([index + 1, [...inHand.values()].reduce((a, b) => a + b, 0) / inHand.size]);
  });
  const state = (step) => el("span", { class: `tag ${step.state === "failed" ? "bad" : step.state === "done" ? "good" : "soft"}` }, step.state);
  return el("details", { class: "card", open, "data-name": search.name },
    el("summary", {}, `${search.name}: ${search.budget}. ${count("done")} done, ${count("running")} running, ${count("failed")} failed, ${count("planned")} to run.`),
    el("div", { class: "grid" },
      card("Best score so far", chart({ title: "Best score so far, mean over targets, after each training", across: "trainings", up: "best so far", lines: curve.length ? [{ name: "best so far", points: curve }] : [] })),
      card("Score against forecast", both.length ? chart({ title: "Score against forecast; the line is where both are the same", across: "forecast", up: "score", diagonal: true, dots: both.map((s) => ({ x: s.forecast, y: s.score, low: s.lower, high: s.upper, name: `${s.source} → ${s.target}: ${number(s.forecast)} forecast, ${number(s.score)} came` })) }) : el("p", { class: "soft" }, "No training with a forecast has finished."))),
    best.size > 0 && card("The best of each target", table({ label: "The best of each target", rows: [...best.values()], columns: [text("target", (s) => s.target), text("best source", (s) => s.source), figure("score", (s) => s.score), figure("gain over alone", (s) => (alone.has(s.target) ? s.score - alone.get(s.target) : null), signed)] })),
    table({ label: "Trainings", rows: search.steps, columns: [
      figure("step", (s) => s.position, (v) => String(v)), text("source", (s) => s.source), ...encoderColumn(search.steps), text("target", (s) => s.target), text("state", (s) => s.state, { cell: state }),
      figure("forecast", (s) => s.forecast), figure("score", (s) => s.score), text("why it failed", (s) => s.why || "", {})] }));
}

function curvesOf(trainings) {
  const some = trainings.filter((one) => one.curve.length > 1).slice(0, 7);
  if (!some.length) return el("p", { class: "soft" }, "No training of several epochs has been recorded.");
  const name = (one) => `${one.source} → ${one.target}`;
  return el("div", { class: "narrow" }, chart({ title: "Score on validation after each epoch", across: "epoch", up: "score", lines: some.map((one) => ({ name: name(one), points: one.curve.map((score, epoch) => [epoch + 1, score]) })) }), legend(some.map(name)));
}

// ---- Terms

async function termsView() {
  const result = el("div", { "aria-live": "polite" });
  const { sources, needs } = await ask("v1/terms");
  view.replaceChildren(el("h1", {}, "Terms"), el("p", { class: "lead" }, "Which words drive a source's decision, and which terms drive both of two sources."));
  if (!sources.length) return view.append(say(needs, "warn"), card("On the command line", el("pre", {}, "transfercast explain SOURCE \"a text\" --pool pool --html why.html\ntransfercast explain FIRST:SECOND --pool pool")));
  const choice = (id) => el("select", { id }, sources.map((name) => el("option", { value: name }, name)));
  const [one, first, second] = [choice("one"), choice("first"), choice("second")];
  if (sources.length > 1) second.selectedIndex = 1;
  const words = el("textarea", { id: "words", maxlength: 5000, placeholder: "A text" });
  const work = (question, draw) => shown(result, async () => {
    result.replaceChildren(el("p", { class: "soft", role: "status" }, "Reading the model; this takes some seconds …"));
    const answer = await post("v1/terms", question());
    result.replaceChildren(card("", say(answer.about || "Nothing to show."), draw(answer.terms)));
  });
  view.append(el("div", { class: "grid" },
    card("A text", el("form", { onsubmit: (event) => { event.preventDefault(); work(() => ({ source: one.value, text: words.value }), coloured); } },
      el("label", { for: "one" }, "Source ", one), el("p", {}, el("label", { for: "words" }, "Text", words)), el("button", { class: "main" }, "Explain"))),
    card("Two sources", el("form", { onsubmit: (event) => { event.preventDefault(); work(() => ({ source: first.value, second: second.value }), sharedTerms); } },
      el("p", {}, el("label", { for: "first" }, "First ", first)), el("p", {}, el("label", { for: "second" }, "Second ", second)), el("button", { class: "main" }, "Compare")))), result);
}

function coloured(terms) {
  const widest = Math.max(...terms.map((term) => Math.abs(term.value)), 0.05);
  return el("div", {}, el("p", { class: "words" }, terms.flatMap((term) => {
    const word = el("span", { class: term.value >= 0 ? "plus" : "minus", title: signed(term.value) }, term.term);
    word.style.setProperty("--much", `${Math.round((70 * Math.abs(term.value)) / widest)}%`);
    return [word, " "];
  })), el("p", { class: "soft" }, "Green words move the model towards the decision, red ones away from it; activity in units of probability."),
  table({ label: "Words", rows: terms, columns: [text("word", (t) => t.term), figure("activity", (t) => t.value, signed)] }));
}

const sharedTerms = (terms) => table({ label: "Shared terms", rows: terms, columns: [text("term", (t) => t.term), figure("weight", (t) => t.value, (v) => number(v, 2)), figure("documents", (t) => t.documents, (v) => String(v))] });

// ---- History

async function historyView() {
  const place = el("div"), told = el("div", { "aria-live": "polite" });
  view.replaceChildren(el("h1", {}, "History"), el("p", { class: "lead" }, "Every observed training. The predictor learns from these."));
  if (!about.history) return view.append(say("This service keeps no history. Start it with --history.", "warn"));
  const filter = el("input", { type: "search", id: "words", placeholder: "part of a name" });
  const upload = el("input", { type: "file", id: "import", accept: ".csv,text/csv" });
  let offset = 0;
  const size = 200;
  const draw = () => shown(place, async () => {
    const found = await ask(`v1/history?limit=${size}&offset=${offset}&words=${encodeURIComponent(filter.value)}`);
    const columns = [text("source", (r) => r.source), text("target", (r) => r.target), text("recipe", (r) => r.recipe), text("encoder", (r) => r.encoder), figure("seed", (r) => r.seed, (v) => String(v)),
      text("metric", (r) => r.metric), text("split", (r) => r.split), figure("score", (r) => r.score), figure("gain", (r) => (r.source === "(alone)" ? null : r.gain), signed, "over the target trained alone"), figure("time", (r) => r.hours, duration), text("finished", (r) => r.finished_at.slice(0, 16).replace("T", " "))];
    place.replaceChildren(card(`${found.total} observations`, found.total ? table({ label: "Observations", rows: found.rows, columns }) : el("p", { class: "soft" }, "Nothing was observed yet."),
      found.total > size && el("p", { class: "fields" }, el("button", { disabled: offset === 0, onclick: () => { offset = Math.max(offset - size, 0); draw(); } }, "Newer"), el("button", { disabled: offset + size >= found.total, onclick: () => { offset += size; draw(); } }, "Older"), el("span", { class: "soft" }, `${offset + 1} to ${Math.min(offset + size, found.total)}`))));
    const trainings = await ask("v1/trainings?limit=30");
    place.append(card("Learning curves", curvesOf(trainings)));
  });
  let waiting = null;
  filter.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { offset = 0; draw(); }, 250); });
  upload.addEventListener("change", () => upload.files.length && shown(told, async () => {
    const added = await send("v1/observations/file", upload.files[0], "text/csv");
    told.replaceChildren(say(`${added.new} new observations; the history holds ${added.total}.`));
    await draw();
  }).finally(() => { upload.value = ""; }));
  view.append(card("", el("div", { class: "fields" }, el("label", { for: "words" }, "Source or target", filter), el("label", { for: "import" }, "Import a CSV file (source, target, score, …)", upload))), told, place);
  await draw();
}

// ---- Predictor

async function predictorView() {
  const place = el("div"), told = el("div", { "aria-live": "polite" });
  view.replaceChildren(el("h1", {}, "Predictor"), el("p", { class: "lead" }, "Its versions, how each was judged on targets held out, and which is in force."), told, place);
  const draw = () => shown(place, async () => {
    about = await ask("v1/about");
    version();
    const jobs = await ask("v1/retrain");
    const parts = [];
    if (about.versions) {
      const models = await ask("v1/models");
      const act = (path) => shown(told, async () => {
        const row = await post(path);
        told.replaceChildren(say(`${row.id} is in force.`));
        await draw();
      });
      const columns = [text("version", (m) => m.id), text("state", (m) => (m.in_force ? "in force" : m.promoted ? "was in force" : "not promoted"), { cell: (m) => el("span", { class: `tag ${m.in_force ? "good" : "soft"}` }, m.in_force ? "in force" : m.promoted ? "was in force" : "not promoted") }),
        figure("observations", (m) => m.observations, (v) => (v === null ? "–" : String(v))),
        text("act", () => "", { cell: (m) => (m.in_force ? "" : el("button", { onclick: (event) => { event.stopPropagation(); act(`v1/models/${encodeURIComponent(m.id)}/promote`); } }, "Promote")) }), text("verdict", (m) => m.reason, { class: "wrap" })];
      parts.push(card("Versions", table({ label: "Versions", rows: models, columns }), el("p", { class: "fields" }, el("button", { disabled: models.filter((m) => m.promoted).length < 2, onclick: () => act("v1/models/roll-back") }, "Roll back"))));
      const current = models.find((m) => m.in_force);
      if (current) parts.push(await rests(current));
    } else parts.push(say("The prior is in force: the mean rank of the measures. Start the service with --predictor and --history, and retrain.", "warn"));
    const running = jobs.find((job) => job.state === "running");
    parts.push(card("Retrain", el("p", {}, about.retrains ? "Learns from the whole history in a process of its own, and is promoted unless it is worse." : "Start the service with --history and --predictor to retrain."),
      el("p", { class: "fields" }, el("button", { class: "main", disabled: !about.retrains || Boolean(running), onclick: () => shown(told, async () => { await post("v1/retrain", { minutes: 0 }); await draw(); }) }, "Retrain now"),
        running && el("button", { onclick: () => shown(told, async () => { await ask(`v1/retrain/${running.id}`, { method: "DELETE" }); await draw(); }) }, "Cancel")),
      running && el("p", { role: "status" }, el("progress", { "aria-label": "Retraining" }), ` running for ${Math.max(0, Math.round(Date.now() / 1000 - running.started))} s`),
      jobs.length > 0 && table({ label: "Retrainings", rows: jobs, columns: [text("state", (j) => j.state), text("version", (j) => j.version), figure("seconds", (j) => (j.state === "running" ? Date.now() / 1000 - j.started : j.seconds), (v) => number(v, 0)), text("verdict", (j) => j.message)] })));
    place.replaceChildren(...parts);
    if (running) timer = setTimeout(draw, 1500);
  });
  await draw();
}

async function rests(model) {
  const report = await ask(`v1/models/${encodeURIComponent(model.id)}`);
  const columns = [text("features", (r) => r.name), figure("RMSE", (r) => r.rmse), figure("NDCG", (r) => r.ndcg), ...["1", "3", "5"].map((k) => figure(`regret@${k}`, (r) => r.regret[k], (v) => number(v, 2))), figure("coverage", (r) => r.coverage, percent), figure("time share", (r) => r.time_share, percent)];
  const orders = Object.entries(report.curves);
  return card("What it rests on", say(`${report.observations} observed transfers to ${report.targets} targets, from ${report.features} features. Verdict: ${report.reason}.`),
    report.rows.length ? table({ label: "Held-out quality", rows: report.rows, columns }) : el("p", { class: "soft" }, "With one target nothing can be held out."),
    orders.length > 0 && el("div", { class: "narrow" }, chart({ title: "Best score so far against the share of all hours, mean over held-out targets", across: "share of the hours of all trainings", up: "best so far", lines: orders.map(([name, curve]) => ({ name, points: curve.map((score, index) => [index / (curve.length - 1), score]) })) }), legend(orders.map(([name]) => name))),
    el("p", { class: "soft" }, "RMSE in score units; NDCG 1 is the true order; regret in percent of the best score; coverage of 90 % intervals; time share of the hours of trying all. Every figure is for targets held out whole."));
}

// ---- Evidence

const MOST_CELLS = 100;

async function evidenceView() {
  view.replaceChildren(el("h1", {}, "Evidence"), el("p", { class: "lead" }, "What each source gained on each target over the target trained alone, on validation rows."));
  const [own, atlas] = await Promise.all([about.history ? ask("v1/gains") : [], ask("v1/atlas")]);
  const part = (title, cells, nothing) => view.append(card(title, cells.length ? heat(cells) : el("p", { class: "soft" }, nothing)),
    cells.length ? card(`${title}: sources by mean gain`, leaderboard(cells)) : "");
  part("Your history", own, about.history ? "No transfer with a target alone to compare was observed yet." : "There is no history. Start the service with --history.");
  part("Atlas", atlas, "No atlas comes with this version. 'transfercast collect' makes one of your own tasks; its history shows above.");
}

function sums(cells, key) {
  const found = new Map();
  for (const cell of cells) {
    const one = found.get(cell[key]) ?? { name: cell[key], gains: [] };
    one.gains.push(cell.gain);
    found.set(cell[key], one);
  }
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  return [...found.values()].map((one) => ({ name: one.name, mean: mean(one.gains), count: one.gains.length, helped: one.gains.filter((gain) => gain > 0).length / one.gains.length })).sort((a, b) => b.mean - a.mean);
}

function heat(cells) {
  const [sources, targets] = [sums(cells, "source").slice(0, MOST_CELLS), sums(cells, "target").slice(0, MOST_CELLS)];
  const size = 22, longest = (names) => Math.min(Math.max(...names.map((one) => one.name.length)), 20) * 7;
  const left = longest(targets) + 14, top = Math.round(0.8 * longest(sources)) + 20;
  const widest = Math.max(...cells.map((cell) => Math.abs(cell.gain)), 1e-9);
  const column = new Map(sources.map((one, index) => [one.name, index])), row = new Map(targets.map((one, index) => [one.name, index]));
  const drawn = cells.filter((cell) => column.has(cell.source) && row.has(cell.target));
  const short = (name) => (name.length > 20 ? `${name.slice(0, 19)}…` : name);
  const width = left + sources.length * size + 70, height = top + targets.length * size + 8;
  return el("div", {}, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Heat map of gains" },
    svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "Gain of each source on each target" },
      targets.map((one, index) => svg("text", { x: left - 6, y: top + index * size + 15, "text-anchor": "end" }, short(one.name))),
      sources.map((one, index) => svg("text", { transform: `translate(${left + index * size + 14},${top - 6}) rotate(-50)` }, short(one.name))),
      drawn.map((cell) => svg("rect", { class: cell.gain >= 0 ? "up" : "down", "fill-opacity": (0.08 + 0.92 * Math.abs(cell.gain) / widest).toFixed(3), x: left + column.get(cell.source) * size + 1, y: top + row.get(cell.target) * size + 1, width: size - 2, height: size - 2, rx: 3 },
        svg("title", {}, `${cell.source} → ${cell.target}: ${signed(cell.gain)} (${cell.trainings} trainings)`))))),
  el("p", { class: "soft" }, `Columns are sources, rows are targets, best first${Math.max(new Set(cells.map((cell) => cell.source)).size, new Set(cells.map((cell) => cell.target)).size) > MOST_CELLS ? `, the first ${MOST_CELLS} of each` : ""}. Green is a gain, red a loss; full colour is ${number(widest)} score units.`));
}

const leaderboard = (cells) => table({ label: "Leaderboard of sources", rows: sums(cells, "source"), columns: [text("source", (s) => s.name), figure("mean gain", (s) => s.mean, signed), figure("helped", (s) => s.helped, percent, "share of targets on which it gained"), figure("targets", (s) => s.count, (v) => String(v))] });

// ---- which view

const VIEWS = { plan: ["Plan", planView], search: ["Search", searchView], terms: ["Terms", termsView], history: ["History", historyView], predictor: ["Predictor", predictorView], evidence: ["Evidence", evidenceView] };

function version() {
  document.getElementById("version").textContent = `${about.version}, predictor: ${about.predictor}`;
}

async function route(moved = true) {
  clearTimeout(timer);
  const name = VIEWS[location.hash.slice(1)] ? location.hash.slice(1) : "plan";
  document.getElementById("tabs").replaceChildren(...Object.entries(VIEWS).map(([key, [title]]) => el("li", {}, el("a", { href: `#${key}`, "aria-current": key === name ? "page" : null }, title))));
  document.title = `${VIEWS[name][0]} · transfercast`;
  view.replaceChildren(el("p", { class: "soft", role: "status" }, "Loading …"));
  await shown(view, async () => {
    about ??= await ask("v1/about");
    version();
    await VIEWS[name][1]();
  });
  if (moved) view.focus({ preventScroll: true });
}

addEventListener("hashchange", () => route());
route(false);
