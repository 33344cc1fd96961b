"use strict";
// The browser of single results. Whatever a model wrote becomes a text node, and nothing else.
(() => {
  const PAGE = 25, EVERY_MS = 1000, LONG = 20000, SNIPPET = 200;
  const SHOWN = ["all", "failed", "wrong", "right", "unparsed", "unscored", ["flipped", "models differ"]];
  const UNSAFE = new RegExp(  // what themis_output.safe escapes
    "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]"
    + "|[\\ud800-\\udbff](?![\\udc00-\\udfff])|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]", "g");
  const byId = (id) => document.getElementById(id);
  let told = JSON.parse(byId("told").textContent);
  const controls = ["search", "shown", "scorer", "system", "slice", "metadata"];
  let page = 0, hits = [], total = 0, asked = 0;

  const codeOf = (code) => (code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0"));
  const visible = (text) => String(text).replace(UNSAFE, (char) => codeOf(char.charCodeAt(0)));
  const cut = (text, length) => text.slice(0, length).replace(/[\ud800-\udbff]$/, "");  // cuts no character in two
  const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));

  function make(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children.flat().filter((each) => each !== null && each !== undefined)
      .map((each) => (each instanceof Node ? each : visible(each))));
    return made;
  }

  // Where results come from: the data within this page, or the server that sent it.

  async function unpack(text) {
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  const rowsOf = (groups) => groups.flatMap((group) => group.trials.map((trial) => ({ group, trial })));

  function textOf(row) {
    const { group, trial } = row;
    const parts = [group.item.id, trial.id];
    for (const turn of trial.turns || []) parts.push(turn.text, turn.reasoning, turn.error, JSON.stringify(group.prompts[turn.prompt]));
    for (const score of trial.scores || []) parts.push(plain(score.found === undefined ? "" : score.found));
    return parts.filter(Boolean).join("\n").toLowerCase();
  }

  const scoreOf = (trial, scorer) => (trial.scores || []).find((each) => each.scorer === scorer);

  const isScored = ({ group, trial }, scorer) =>
    Boolean(told.scored[told.systems[trial.system].run]?.[group.slice]?.includes(scorer));

  function isShown(row, shown, scorer) {
    const score = scoreOf(row.trial, scorer);
    switch (shown) {
      case "all": return true;
      case "failed": return row.trial.outcome === "failed";
      case "wrong": return score?.correct === false;
      case "right": return score?.correct === true;
      case "unparsed": return score?.unparsed !== undefined;
      case "flipped": return score?.flipped === true;
      default: return row.trial.outcome !== "failed" && (!score || score.value === null) && isScored(row, scorer);
    }
  }

  const facet = (value) => (value !== null && typeof value === "object" ? null : typeof value === "string" ? value : JSON.stringify(value));
  const facetOf = (item, field) => item.numbers?.[field] ?? facet(item.metadata?.[field]);

  function within(data) {
    const rows = rowsOf(data.groups);
    return {
      async find(query) {
        const words = query.search.toLowerCase(), scorer = Number(query.scorer);
        const [field, value] = query.metadata ? JSON.parse(query.metadata) : [];
        const found = rows.filter((row) =>
          isShown(row, query.shown, scorer)
          && (query.system === "" || row.trial.system === Number(query.system))
          && (query.slice === "" || row.group.slice === query.slice)
          && (!field || facetOf(row.group.item, field) === value)
          && (!words || (row.text ??= textOf(row)).includes(words)));
        return { total: found.length, rows: found.slice(query.page * PAGE, (query.page + 1) * PAGE) };
      },
      async alike({ group, trial }) {
        return group.trials.filter((each) => (each.sample || 0) === (trial.sample || 0)).map((each) => ({ group, trial: each }));
      },
    };
  }

  async function ask(path, query) {
    const reply = await fetch(`${path}?${location.search.slice(1)}&${new URLSearchParams(query)}`);
    if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
    return reply.json();
  }

  const served = {
    async find(query) {
      const { groups, ...told } = await ask("api/results", query);
      return { ...told, rows: rowsOf(groups) };
    },
    async alike({ trial }) { return rowsOf((await ask("api/alike", { n: trial.n })).groups); },
  };

  let source = null;

  // The list.

  const labelOf = (number) => {
    const own = told.systems[number];
    const isRecorded = (it) => [it.model, it.prompt, it.params].every((each) => each === "recorded");  // by the data
    const asked = told.systems.filter((each) => !isRecorded(each));
    const differs = (systems) => (name) => new Set(systems.map((each) => each[name])).size > 1;
    const names = [...(isRecorded(own) ? [] : ["prompt", "params"].filter(differs(asked))), ...["run"].filter(differs(told.systems))];
    return [own.model, ...names.map((name) => own[name])].join(" · ");
  };

  function badge(trial, scorer) {
    const score = scoreOf(trial, scorer);
    if (trial.outcome === "failed") return make("span", { className: "badge failed" }, "failed");
    if (!score || score.value === null) return make("span", { className: "badge unscored" }, score ? "unscored" : trial.outcome);
    if (score.unparsed !== undefined) return make("span", { className: "badge unparsed" }, "unparsed");
    if (score.correct === true) return make("span", { className: "badge right" }, "✓ right");
    const value = String(Math.round(score.value * 10000) / 10000);
    return score.correct === false && score.value === 0
      ? make("span", { className: "badge wrong" }, "✗ wrong") : make("span", { className: "badge" }, value);
  }

  const lastTurn = (trial) => (trial.turns || []).at(-1) || {};

  function hit(row, at) {
    const turn = lastTurn(row.trial);
    const answer = turn.text || turn.refusal || turn.error || "";
    const button = make("button", { type: "button" },
      badge(row.trial, Number(byId("scorer").value)),
      make("span", {}, row.trial.sample ? `${row.group.item.id} #${row.trial.sample + 1}` : row.group.item.id),
      make("span", {}, labelOf(row.trial.system)),
      make("span", { className: "snippet" }, cut(answer, SNIPPET).replace(/\s+/g, " ")));
    button.addEventListener("click", () => open(at));
    return make("li", {}, button);
  }

  async function list() {
    const query = Object.fromEntries(controls.map((id) => [id, byId(id).value])), ticket = ++asked;
    const found = await source.find({ ...query, page });
    if (ticket !== asked) return;
    hits = found.rows;
    total = found.total;
    byId("hits").replaceChildren(...hits.map(hit));
    const counted = `${total.toLocaleString("en")}${found.more ? " or more" : ""} ${total === 1 ? "result" : "results"}`;
    byId("count").textContent = found.stopped ? `${counted} so far: the search took too long and was stopped` : counted;
    byId("where").textContent = total ? `${page * PAGE + 1} to ${page * PAGE + hits.length}` : "";
    byId("before").disabled = page === 0;
    byId("after").disabled = !found.more && (page + 1) * PAGE >= total;
  }

  // One result, or two side by side.

  const heading = (text) => make("h3", {}, text);

  function text(value, found) {
    const whole = plain(value), at = found ? whole.lastIndexOf(found) : -1;
    const parts = at < 0 || at >= LONG
      ? [cut(whole, LONG)]
      : [whole.slice(0, at), make("mark", {}, found), cut(whole.slice(at + found.length), LONG)];
    const box = make("pre", { dir: "auto" }, parts);
    if (whole.length <= LONG) return box;
    const all = make("button", { type: "button" }, `Show all ${whole.length.toLocaleString("en")} characters`);
    all.addEventListener("click", () => { box.textContent = visible(whole); all.remove(); });
    return make("div", {}, box, all);
  }

  const isSomething = (value) => value !== undefined && value !== null && value !== "";
  const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const areRecords = (value) => Array.isArray(value) && value.length > 0 && value.every(isRecord);
  const shortly = (value) => (isSomething(value) ? cut(plain(value), LONG) : "–");

  function pairs(values) {
    const told = Object.entries(values).filter(([, value]) => isSomething(value));
    const cell = (value) => make("dd", { dir: "auto" }, areRecords(value) ? records(value) : shortly(value));
    return make("dl", {}, told.flatMap(([name, value]) => [make("dt", {}, name), cell(value)]));
  }

  function records(rows) {
    const names = [...new Set(rows.flatMap(Object.keys))];
    const line = (tag, cells) => make("tr", {}, cells.map((each) => make(tag, {}, each)));
    const body = rows.map((row) => line("td", names.map((name) => shortly(row[name]))));
    return make("table", {}, make("thead", {}, line("th", names)), make("tbody", {}, body));
  }

  function contentOf(message) {
    if (message.content === null || message.content === undefined) return plain(message);
    const parts = Array.isArray(message.content) ? message.content : [{ text: message.content }];
    const calls = (message.tool_calls || []).map(plain);
    return [...parts.map((part) => part.text ?? plain(part.image_url ?? part)), ...calls].filter(Boolean).join("\n");
  }

  const messages = (sent) => (sent || []).flatMap((each) => [make("p", { className: "role" }, each.role), text(contentOf(each))]);

  const folded = (title, ...children) => make("details", {}, make("summary", {}, title), ...children);

  function steps(turn) {
    const shown = (turn.steps || []).map(({ kind, name, usage, left_out, ...rest }) => make("li", {},
      `${kind}${name ? ` ${name}` : ""}`, pairs({ ...rest, ...usage, "bytes left out": left_out })));
    const more = turn.steps_left_out ? make("p", { className: "soft" }, `and ${turn.steps_left_out} further steps, left out`) : null;
    return shown.length ? [folded(`Steps (${shown.length})`, make("ol", {}, shown), more)] : [];
  }

  function answerOf(turn, found) {
    const tokens = (turn.logprobs || []).map(([token, value], at) => [`${at + 1} ${JSON.stringify(token)}`, value]);
    return [
      turn.reasoning ? folded("Reasoning", text(turn.reasoning)) : null,
      turn.text ? text(turn.text, found) : make("p", { className: "soft" }, turn.refusal || turn.error || `no text (${turn.status})`),
      ...steps(turn),
      ...(turn.tool_calls ? [heading("Tool calls"), text(turn.tool_calls)] : []),
      ...(turn.choices || []).map((each, at) => folded(`Choice ${at + 2}`, text(each))),
      tokens.length ? folded("Log-probabilities of the first tokens", pairs(Object.fromEntries(tokens))) : null,
    ];
  }

  function extraction(group, score) {
    const chain = told.parses?.[group.slice]?.[score.parse] || [];
    const end = score.unparsed !== undefined ? `nothing found: ${score.unparsed}` : `found: ${plain(score.found)}`;
    return [heading(`Extraction ${score.parse}`), make("ol", {}, [...chain, end].map((step) => make("li", {}, step)))];
  }

  function judged(score) {
    return score.judged.map((each, at) => folded(
      `Judge ${at + 1}: ${each.model}`, messages(each.messages), heading("Reply"), answerOf(each)));
  }

  function scored(group, score) {
    const value = score.value === null ? `none: ${score.reason}` : score.value;
    return [
      ...(score.parse && (score.unparsed !== undefined || score.found !== undefined) ? extraction(group, score) : []),
      heading(told.scorers[score.scorer]),
      pairs({ value, reason: score.value === null ? null : score.reason, ...(score.details || {}) }),
      ...(score.judged ? judged(score) : []),
    ];
  }

  const usage = (turn) => Object.entries(turn.usage || {}).map(([name, count]) => `${count} ${name.replaceAll("_", " ")}`);

  // What a simulated user said last is stored before the answer that it is to.
  function asSpoken(turns) {
    const place = new Map(), said = turns.filter((turn) => !turn.user);
    for (const turn of turns) place.set(turn, turn.user ? turn.user + 0.5 : said.indexOf(turn) + 1);
    return [...turns].sort((one, other) => place.get(one) - place.get(other));
  }

  function timeline(trial) {
    const step = (turn, who) => make("li", {}, [
      `${turn.at.replace("T", " ")} UTC`, `${who} ${turn.model}`, turn.status + (turn.finish_reason ? ` (${turn.finish_reason})` : ""),
      turn.latency_s !== undefined ? `${turn.latency_s.toFixed(2)} s` : null, turn.attempts ? `${turn.attempts} attempts` : null,
      ...usage(turn), turn.cost !== undefined ? `cost ${turn.cost}` : null,
    ].filter(Boolean).join(" · "));
    const asked = asSpoken(trial.turns || []).map((turn) => step(turn, turn.user ? "simulated user" : "asked"));
    return make("ol", {}, asked, (trial.scores || []).flatMap((score) => (score.judged || []).map((turn) => step(turn, "judged by"))));
  }

  function column({ group, trial }, choose) {
    const scores = trial.scores || [], turns = trial.turns || [];
    const found = scores.map((each) => each.found).find(isSomething);
    const several = turns.length > 1;
    let answers = 0;
    const turn = (each) => {
      const name = each.user ? `Simulated user after answer ${each.user}` : `Answer ${answers += 1}`;
      const prompt = each.user ? `What the simulated user was sent after answer ${each.user}` : `Prompt of turn ${answers}, as sent`;
      return [
        folded(several ? prompt : "Prompt as sent", messages(group.prompts[each.prompt]),
          pairs({ parameters: each.params, seed: each.seed, "handed of the item": each.handed })),
        heading(several ? name : "Answer"),
        answerOf(each, each === turns.at(-1) && isSomething(found) ? plain(found) : ""),
      ];
    };
    const ended = `  ${trial.outcome}${trial.code ? ` (${trial.code})` : ""}`;
    return make("div", {}, choose,
      make("p", {}, badge(trial, Number(byId("scorer").value)), make("span", { className: "soft" }, ended)),
      ...asSpoken(turns).flatMap(turn).flat(),
      ...scores.flatMap((score) => scored(group, score)),
      heading("Timeline"), timeline(trial),
      make("p", { className: "soft" }, "themis show trial ", told.systems[trial.system].run, " ", trial.id));
  }

  function chooser(name, rows, chosen, changed, none) {
    const options = rows.map((row, at) => make("option", { value: at, selected: row === chosen }, labelOf(row.trial.system)));
    const select = make("select", { ariaLabel: name }, none ? make("option", { value: "", selected: !chosen }, none) : null, options);
    select.addEventListener("change", () => changed(rows[select.value]));
    return select;
  }

  async function open(at) {
    const row = hits[at], alike = await source.alike(row);
    const left = alike.find((each) => each.trial.n === row.trial.n) || row;
    const scorer = Number(byId("scorer").value), right = (each) => scoreOf(each.trial, scorer)?.correct;
    const other = byId("shown").value === "flipped" ? alike.find((each) => right(each) !== right(left)) : undefined;
    show(at, alike, left, other);
  }

  function show(at, alike, left, right) {
    const { group } = left, dialog = byId("detail");
    const { fields, metadata } = group.item;
    const go = (name, to) => {
      const button = make("button", { type: "button", disabled: to < 0 || to >= hits.length }, name);
      button.addEventListener("click", () => open(to));
      return button;
    };
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", () => dialog.close());
    const first = column(left, chooser("Model", alike, left, (row) => show(at, alike, row, right)));
    const others = alike.filter((row) => row !== left);
    const choose = chooser("Beside it", others, right, (row) => show(at, alike, left, row), "compare with …");
    const second = right ? column(right, choose) : others.length ? make("div", {}, choose) : null;
    dialog.replaceChildren(
      make("div", { className: "bar" }, make("h2", {}, group.item.id), go("Previous", at - 1), go("Next", at + 1), close),
      make("div", { className: "inside" },
        pairs({ reference: group.item.reference, slice: told.slices.length > 1 ? group.slice : undefined, sample: left.trial.sample }),
        folded("Item", pairs({ ...fields, metadata: Object.keys(metadata || {}).length ? metadata : null })),
        make("div", { className: right ? "pair two" : "pair" }, first, second)));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  // Start.

  function fill(id, options) {
    const chosen = byId(id).value;
    byId(id).replaceChildren(...options.map(([value, name]) => make("option", { value }, name)));
    if (options.some(([value]) => String(value) === chosen)) byId(id).value = chosen;
    byId(id).parentElement.hidden = options.length < 2;
  }

  function listen() {
    let waiting = 0;
    const again = () => { page = 0; list(); };
    byId("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(again, 120); });
    for (const id of controls.slice(1)) byId(id).addEventListener("change", again);
    byId("filters").addEventListener("submit", (event) => { event.preventDefault(); again(); });
    addEventListener("beforeprint", openForPrint);
    byId("before").addEventListener("click", () => { page -= 1; list(); });
    byId("after").addEventListener("click", () => { page += 1; list(); });
  }

  function openForPrint() {
    const closed = [...document.querySelectorAll("#spec details:not([open]), details.rows:not([open])")];
    const set = (open) => () => closed.forEach((each) => { each.open = open; });
    set(true)();
    addEventListener("afterprint", set(false), { once: true });
  }

  function fillAll() {
    fill("shown", SHOWN.map((each) => (Array.isArray(each) ? each : [each, each])));
    fill("scorer", told.scorers.map((name, at) => [at, name]));
    const any = (options) => (options.length > 1 ? [["", "all"], ...options] : [["", "all"]]);
    fill("system", any(told.systems.map((_, at) => [at, labelOf(at)])));
    fill("slice", any(told.slices.map((name) => [name, name])));
    const facets = Object.entries(told.metadata || {}).flatMap(([field, values]) => values.map((value) => [field, value]));
    fill("metadata", [["", "any"], ...facets.map((each) => [JSON.stringify(each), each.join(": ")])]);
  }

  // A run that goes on.

  function showScores({ header, rows, above, figures }) {
    const cell = (tag) => (text, at) => make(tag, { className: figures.includes(header[at]) ? "figure" : "" }, text);
    const table = byId("table-scores");
    table.querySelector("thead").replaceChildren(make("tr", {}, header.map(cell("th"))));
    table.querySelector("tbody").replaceChildren(...rows.map((row) => make("tr", {}, row.map(cell("td")))));
    const line = table.querySelector(".above");
    if (line) line.textContent = visible(above);
  }

  function showVerdicts(runs) {
    document.querySelectorAll("#verdict .of-it").forEach((list, at) => list.replaceChildren(
      ...runs[at].map(({ kind, text, more }) => make("li", { className: kind },
        make("strong", {}, text), more ? ["\n", make("span", {}, more)] : []))));
  }

  async function follow() {
    const now = await ask("api/progress", {}), bar = byId("progress");
    const wasRunning = document.querySelector(".status.running") !== null;  // when the page was made
    const again = (ms) => setTimeout(followOn, ms);
    if (!now.whole) return again(EVERY_MS);  // it is still being read
    if (byId("reading") || (now.scores && !byId("table-scores"))) return location.reload();
    if (!now.running && !wasRunning && bar.hidden) return again(5 * EVERY_MS);  // a run that has ended may be resumed
    if (!now.running || !wasRunning) return location.reload();
    bar.hidden = false;
    bar.firstElementChild.value = now.trials / Math.max(now.planned, 1);
    bar.lastElementChild.textContent = `${now.trials} of ${now.planned} trials, ${now.failed} failed. `
      + "The plots and the other tables are as they were when this page was loaded.";
    if (JSON.stringify(now.told) !== JSON.stringify(told)) {
      told = now.told;
      fillAll();
    }
    if (now.scores) showScores(now.scores);
    showVerdicts(now.verdicts);
    if (!byId("detail").open) await list();
    again(EVERY_MS);
  }

  // What failed once, such as a store that was busy, may do the next time.
  const followOn = () => follow().catch((error) => { fail(error); setTimeout(followOn, 5 * EVERY_MS); });

  const fail = (error) => { byId("count").textContent = `The results can't be shown: ${error.message}`; };

  async function start() {
    fillAll();
    source = byId("data") ? within(await unpack(byId("data").textContent)) : served;
    listen();
    await list();
    document.documentElement.dataset.ready = "yes";
    performance.mark("ready");
    if (source === served) await followOn();
  }

  start().catch(fail);
})();
