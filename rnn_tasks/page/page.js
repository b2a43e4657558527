// The drawing, what the server says of it, and how that is shown.

const NAMES = ["reader", "report"];
const PAUSE = 25; // ms between two questions, so that the server's one core is left some time
const $ = (id) => document.getElementById(id);
const [canvas, picture] = [$("canvas"), $("image")];

let sheet = { width: 840, height: 630, pen: 27 }; // units of the canvas; told by the server
let networks = {};
let largestPhoto = Infinity;
let state = { strokes: [], photo: null }; // a photo: its bitmap, where the browser can show it, and the answer
const past = []; // former states, for undo
let answer = null; // what the server said of the state
let pick = 0;

// ---- asking: one question at a time, of those that wait the latest

let wanted = null;
let asking = false;

async function ask(question) {
  wanted = question;
  if (asking) return;
  busy((asking = true));
  while (wanted) {
    const now = wanted;
    wanted = null;
    await one(now);
    await sleep(PAUSE);
  }
  busy((asking = false));
}

const busy = (whether) => document.querySelector(".readings").setAttribute("aria-busy", whether);

async function one(question) {
  let reply, said;
  try {
    reply = await fetch(question.path, { method: "POST", body: question.body() });
    said = await reply.json();
  } catch {
    return question.of === state && tell("The server does not answer. Does python -m rnn_tasks.draw still run?");
  }
  if (reply.headers.has("Retry-After")) {
    await sleep(700);
    wanted ??= question;
  } else if (question.of === state) {
    if (reply.ok) tell("");
    reply.ok ? question.then(said) : tell(said.error);
  }
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function tell(text, calm = false) {
  if ($("message").textContent !== text) $("message").textContent = text;
  $("message").classList.toggle("calm", calm);
}

// ---- the drawing

function change(next) {
  past.push(state);
  become(next);
}

function become(next) {
  state = next;
  stroke = null;
  if (state.photo) show(state.photo.answer);
  else if (state.strokes.length) read();
  else {
    wanted = null;
    tell("");
    show(null);
  }
  tidy();
}

function tidy() {
  const empty = !state.photo && !state.strokes.length;
  $("hint").hidden = !empty;
  $("clear").disabled = empty;
  $("undo").disabled = !past.length;
  canvas.classList.toggle("photo", Boolean(state.photo));
  paint();
}

function read() {
  const of = state;
  const body = () => JSON.stringify({ strokes: of.strokes, pick });
  ask({ path: "drawing", of, body, then: show });
}

const undo = () => past.length && become(past.pop());
const clear = () => (state.photo || state.strokes.length) && change({ strokes: [], photo: null });

let stroke = null; // the one that is being drawn: x, y, x, y, ...
let pointer = null;

function point(event) {
  const box = canvas.getBoundingClientRect();
  const scale = sheet.width / box.width;
  return [Math.round((event.clientX - box.left) * scale), Math.round((event.clientY - box.top) * scale)];
}

function extend(event) {
  const [x, y] = point(event);
  const [lastX, lastY] = stroke.slice(-2);
  if (Math.hypot(x - lastX, y - lastY) >= 3) stroke.push(x, y);
}

// A finger draws and does nothing else; its stroke would else count as a fling, which the next tap only stops.
canvas.addEventListener("touchstart", (event) => state.photo || event.preventDefault(), { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  if (event.button || !event.isPrimary) return;
  if (state.photo) return pickAt(point(event));
  event.preventDefault();
  document.activeElement.blur();
  canvas.setPointerCapture(event.pointerId);
  const begun = point(event);
  change({ strokes: [...state.strokes, begun], photo: null });
  [stroke, pointer] = [begun, event.pointerId];
});
canvas.addEventListener("pointermove", (event) => {
  if (!stroke || event.pointerId !== pointer) return;
  const before = stroke.length;
  const moves = event.getCoalescedEvents?.() ?? [];
  (moves.length ? moves : [event]).forEach(extend);
  if (stroke.length > before) {
    read();
    paint();
  }
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(end, () => (stroke = null));

// ---- photos

async function open(file) {
  if (!file) return;
  if (file.size > largestPhoto) return tell(`This photo is too large: more than ${largestPhoto / 1e6} MB`);
  const of = state;
  tell("Reading the photo …", true);
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (of !== state) return;
  const then = (answer) => {
    pick = 0;
    change({ strokes: [], photo: { bitmap, answer } });
  };
  ask({ path: "photo", of, body: () => file, then });
}

$("file").addEventListener("change", () => {
  open($("file").files[0]);
  $("file").value = "";
});
document.addEventListener("paste", (event) => open(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("paper").classList.add("over");
});
for (const end of ["dragleave", "drop"]) document.addEventListener(end, () => $("paper").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  event.dataTransfer.files.length ? open(event.dataTransfer.files[0]) : tell("Drop a picture, as a file");
});

// ---- the digits that were found

function show(said) {
  answer = said;
  pick = said?.picked ?? 0;
  list();
  paint();
  look();
}

function choose(number) {
  pick = number;
  const image = pixels(number);
  const then = (said) => {
    Object.assign(answer, said, { picked: number });
    pick = number;
    document.getElementsByName("digit")[number].checked = true; // a drawing may have been answered meanwhile
    paint();
    look();
  };
  paint();
  ask({ path: "image", of: state, body: () => image, then });
}

const pixels = (number) => Uint8Array.from(atob(answer.digits[number].image), (letter) => letter.charCodeAt(0));
const best = (values) => values.indexOf(Math.max(...values));
const first = (digit) => best(digit.answers.reader ?? digit.answers.report);

function list() {
  const several = answer?.digits.length > 1;
  $("found").hidden = !several;
  $("text").textContent = several ? answer.text.join(" / ") : "";
  const lines = [];
  for (const [number, digit] of several ? answer.digits.entries() : []) {
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "digit", checked: number === pick });
    radio.setAttribute("aria-label", `digit ${number + 1}, read as ${first(digit)}`);
    radio.addEventListener("change", () => choose(number));
    const small = Object.assign(document.createElement("canvas"), { width: 28, height: 28 });
    draw28(small, pixels(number));
    label.append(radio, small, String(first(digit)));
    (lines[digit.line] ??= Object.assign(document.createElement("div"), { className: "line" })).append(label);
  }
  const focused = document.activeElement.name === "digit";
  $("digits").replaceChildren(...lines);
  if (focused) document.getElementsByName("digit")[pick]?.focus();
}

function pickAt([x, y]) {
  const number = answer.digits.findIndex((_, number) => {
    const [left, top, width, height] = frame(number);
    return x >= left && x <= left + width && y >= top && y <= top + height;
  });
  if (number >= 0) document.getElementsByName("digit")[number]?.click();
}

// ---- painting

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function fitted() {
  const [width, height] = answer.size;
  const scale = Math.min(sheet.width / width, sheet.height / height);
  return { scale, left: (sheet.width - scale * width) / 2, top: (sheet.height - scale * height) / 2 };
}

function frame(number) {
  const { scale, left, top } = fitted();
  const box = answer.digits[number].box.map((edge, i) => edge * scale + (i % 2 ? top : left));
  const air = 6;
  return [box[0] - air, box[1] - air, box[2] - box[0] + 2 * air, box[3] - box[1] + 2 * air];
}

function paint() {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  const height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  const unit = width / sheet.width;
  pen.setTransform(unit, 0, 0, unit, 0, 0);
  pen.clearRect(0, 0, sheet.width, sheet.height);
  if (state.photo) paintPhoto(pen);
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = colour("ink");
  pen.lineWidth = sheet.pen;
  for (const [x, y, ...more] of state.strokes) {
    pen.beginPath();
    pen.moveTo(x, y);
    for (let i = 0; i < more.length; i += 2) pen.lineTo(more[i], more[i + 1]);
    if (!more.length) pen.lineTo(x, y);
    pen.stroke();
  }
  if (answer && (state.photo || answer.digits.length > 1)) paintFrames(pen, canvas.clientWidth / sheet.width);
}

function paintPhoto(pen) {
  const { scale, left, top } = fitted();
  const [width, height] = answer.size.map((side) => scale * side);
  if (state.photo.bitmap) return pen.drawImage(state.photo.bitmap, left, top, width, height);
  const small = Object.assign(document.createElement("canvas"), { width: 28, height: 28 });
  for (const number of answer.digits.keys()) {
    draw28(small, pixels(number));
    const [left, top, width, height] = frame(number);
    const side = Math.max(width, height) * 1.2; // an image is 28 high, its digit 20
    pen.drawImage(small, left + (width - side) / 2, top + (height - side) / 2, side, side);
  }
}

function paintFrames(pen, shown) {
  const size = 16 / shown; // CSS pixels
  pen.font = `700 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "bottom";
  for (const [number, digit] of answer.digits.entries()) {
    const [left, top, width, height] = frame(number);
    pen.strokeStyle = pen.fillStyle = colour(number === pick ? "reader" : "soft");
    pen.lineWidth = (number === pick ? 3 : 1.5) / shown;
    pen.strokeRect(left, top, width, height);
    const room = top > size * 1.2 ? top : top + size * 1.25;
    pen.fillRect(left - pen.lineWidth / 2, room - size * 1.2, size * 1.05, size * 1.2);
    pen.fillStyle = colour("paper");
    pen.fillText(first(digit), left + size * 0.22, room);
  }
}

function draw28(target, values) {
  const pen = target.getContext("2d");
  const [red, green, blue] = colour("ink").match(/\w\w/g).map((pair) => parseInt(pair, 16));
  const data = pen.createImageData(28, 28);
  values.forEach((value, i) => data.data.set([red, green, blue, value], 4 * i));
  pen.putImageData(data, 0, 0);
}

// ---- the rows, as they come in

const percent = (share) => {
  if (share > 0 && share < 0.01) return `${(100 * share).toFixed(1)} %`;
  return `${share > 0.99 && share < 0.9995 ? (100 * share).toFixed(1) : Math.round(100 * share)} %`;
};

function look() {
  const row = Number($("row").value);
  $("told").textContent = `${row} of 28 rows`;
  $("row").setAttribute("aria-valuetext", $("told").textContent);
  $("unread").style.top = `${(100 * row) / 28}%`;
  $("current").style.top = `${(100 * (row - 1)) / 28}%`;
  $("current").hidden = row === 28;
  if (answer) draw28(picture, pixels(pick));
  else picture.getContext("2d").clearRect(0, 0, 28, 28);
  for (const name of NAMES) {
    const values = answer?.steps[name]?.[row - 1];
    const [said, sure] = document.querySelectorAll(`.answer.${name} .said > *`);
    said.textContent = values ? best(values) : "–";
    sure.textContent = values ? percent(values[best(values)]) : "";
    for (const [digit, line] of [...$("bars").rows].entries()) {
      line.querySelector(`.number.${name}`).textContent = values ? percent(values[digit]) : "–";
      line.querySelector(`.number.${name}`).classList.toggle("best", Boolean(values) && digit === best(values));
      line.querySelector(`.bar.${name} span`).style.width = `${values ? 100 * values[digit] : 0}%`;
    }
    curves(name, row);
  }
  $("time").textContent = answer ? `read in ${Math.round(answer.milliseconds)} ms` : "";
  speak();
}

let speaking = 0;

function speak() {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    const row = Number($("row").value);
    const said = NAMES.filter((name) => answer?.steps[name]).map((name) => {
      const values = answer.steps[name][row - 1];
      return `${networks[name].title}: ${best(values)}, ${percent(values[best(values)])}`;
    });
    $("spoken").textContent = said.length ? `After ${row} rows. ${said.join("; ")}.` : "";
  }, 500);
}

const PLOT = { left: 34, right: 292, top: 16, bottom: 112 };
const across = (row) => PLOT.left + ((PLOT.right - PLOT.left) * (row - 1)) / 27;
const up = (share) => PLOT.bottom - (PLOT.bottom - PLOT.top) * share;

function curves(name, row) {
  const svg = document.querySelector(`.curves .${name} svg`);
  const parts = [];
  const add = (tag, attributes, text = "") => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    part.textContent = text;
    parts.push(part);
  };
  for (const share of [0, 0.5, 1]) {
    add("line", { class: "axis", x1: PLOT.left, x2: PLOT.right, y1: up(share), y2: up(share) });
    add("text", { x: PLOT.left - 5, y: up(share) + 4, "text-anchor": "end" }, `${100 * share}`);
  }
  for (const at of [1, 7, 14, 21, 28]) add("text", { x: across(at), y: 126, "text-anchor": "middle" }, at);
  add("line", { class: "now", x1: across(row), x2: across(row), y1: PLOT.top, y2: PLOT.bottom });
  const values = answer?.steps[name];
  if (values) {
    const winner = best(values[row - 1]);
    const order = [...Array(10).keys()].filter((digit) => digit !== winner).concat(winner);
    const curve = (digit) => values.map((shares) => shares[digit]);
    for (const digit of order) {
      const d = curve(digit).map((share, i) => `${i ? "L" : "M"}${across(i + 1).toFixed(1)} ${up(share).toFixed(1)}`);
      add("path", { class: digit === winner ? "first" : "", d: d.join("") });
    }
    const leads = values.map(best);
    for (let from = 0, to = 0; from < 28; from = to) {
      while (to < 28 && leads[to] === leads[from]) to++;
      const digit = leads[from];
      const heights = curve(digit).slice(from, to);
      const peak = Math.max(...heights);
      const top = [...heights.keys()].filter((i) => heights[i] > 0.95 * peak);
      if (peak < 0.25 || to - from < 2) continue;
      const place = { x: across(from + top[top.length >> 1] + 1), y: up(peak) - 4 };
      add("text", { class: digit === winner ? "name first" : "name", ...place }, digit);
    }
  }
  svg.replaceChildren(...parts);
  const end = values && `after all rows ${best(values[27])}, ${percent(values[27][best(values[27])])}`;
  svg.setAttribute("aria-label", `Probabilities over the rows, ${networks[name].title}${end ? `: ${end}` : ""}`);
}

function go(row) {
  $("row").value = row;
  look();
}

let playing = 0;

function pause() {
  clearInterval(playing);
  playing = 0;
  $("play").textContent = "▶";
  $("play").setAttribute("aria-label", "Play the rows");
}

$("play").addEventListener("click", () => {
  if (playing) return pause();
  $("play").textContent = "❚❚";
  $("play").setAttribute("aria-label", "Pause");
  if ($("row").value === "28") go(1);
  playing = setInterval(() => {
    go(Number($("row").value) + 1);
    if ($("row").value === "28") pause();
  }, 130);
});
$("row").addEventListener("input", () => {
  pause();
  look();
});
for (const svg of document.querySelectorAll(".curves svg")) {
  svg.addEventListener("pointerdown", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 300;
    pause();
    go(Math.round(1 + (27 * (x - PLOT.left)) / (PLOT.right - PLOT.left)));
  });
}

// ---- the whole page

$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", clear);
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
  } else if (["Escape", "Delete"].includes(event.key)) clear();
});
new ResizeObserver(paint).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  list();
  paint();
  look();
});

function introduce() {
  for (const name of NAMES) {
    const { title, about, train } = networks[name];
    document.querySelector(`.answer.${name} h2`).textContent = title;
    document.querySelector(`.bars th.${name}`).textContent = title;
    document.querySelector(`.curves .${name} figcaption`).textContent = `${title}: %, after each row`;
    const code = Object.assign(document.createElement("code"), { textContent: train });
    document.querySelector(`.answer.${name} .about`).replaceChildren(...(train ? ["Not trained yet: ", code] : [about]));
  }
  for (let digit = 0; digit < 10; digit++) {
    const line = $("bars").insertRow();
    line.innerHTML =
      `<td class="number reader"></td><td class="bar reader"><span></span></td><th scope="row">${digit}</th>` +
      `<td class="bar report"><span></span></td><td class="number report"></td>`;
  }
}

try {
  const told = await (await fetch("networks")).json();
  [sheet, networks, largestPhoto] = [told.canvas, told.networks, told.largest_photo];
  if (NAMES.every((name) => networks[name].train)) {
    $("commands").textContent = NAMES.map((name) => networks[name].train).join("\n");
    $("untrained").hidden = false;
  } else {
    introduce();
    $("page").hidden = false;
    tidy();
    look();
  }
} catch {
  $("untrained-title").textContent = "The server does not answer";
  $("remedy").textContent = "Start it again, then reload this page:";
  $("commands").textContent = "python -m rnn_tasks.draw";
  $("untrained").hidden = false;
}
