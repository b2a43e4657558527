// The drawing or photo, the server's answer to it, and how both are shown.

const NAMES = ["reader", "report"];
const PAUSE = 25; // ms between two requests, so that a single core is not busy all the time
const $ = (id) => document.getElementById(id);
const [canvas, image] = [$("canvas"), $("image")];

let sheet = { width: 840, height: 630, pen: 27 }; // in units of the canvas; the server sends the real values
let networks = {};
let largestPhoto = Infinity; // bytes
let state = { strokes: [], photo: null }; // a photo: its bitmap, null if the browser cannot show it, and its answer
const past = []; // former states, for undo
let answer = null; // of the server, to the state
let pick = 0; // the digit that is shown row by row

// ---- requests: one at a time; of those that wait only the latest is sent

let waiting = null;
let sending = false;

async function request(next) {
  waiting = next;
  if (sending) return;
  setBusy((sending = true));
  while (waiting) {
    const current = waiting;
    waiting = null;
    await send(current);
    await sleep(PAUSE);
  }
  setBusy((sending = false));
}

const setBusy = (busy) => document.querySelector(".readings").setAttribute("aria-busy", busy);

async function send(request) {
  let response, content;
  try {
    response = await fetch(request.path, { method: "POST", body: request.body() });
    content = await response.json();
  } catch {
    if (request.state === state) showMessage("The server does not answer. Is python -m rnn_tasks.draw still running?");
    return;
  }
  if (response.headers.has("Retry-After")) {
    await sleep(700);
    waiting ??= request;
  } else if (request.state === state) {
    showMessage(response.ok ? "" : content.error);
    if (response.ok) request.onAnswer(content);
  }
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function showMessage(text, calm = false) {
  if ($("message").textContent !== text) $("message").textContent = text;
  $("message").classList.toggle("calm", calm);
}

// ---- the drawing

function change(next) {
  past.push(state);
  setState(next);
}

function setState(next) {
  state = next;
  stroke = null;
  if (state.photo) show(state.photo.answer);
  else if (state.strokes.length) read();
  else {
    waiting = null;
    showMessage("");
    show(null);
  }
  updateControls();
}

function updateControls() {
  const empty = !state.photo && !state.strokes.length;
  $("hint").hidden = !empty;
  $("clear").disabled = empty;
  $("undo").disabled = !past.length;
  canvas.classList.toggle("photo", Boolean(state.photo));
  paint();
}

function read() {
  const { strokes } = state;
  const body = () => JSON.stringify({ strokes, pick });
  request({ path: "drawing", state, body, onAnswer: show });
}

const undo = () => past.length && setState(past.pop());
const clear = () => (state.photo || state.strokes.length) && change({ strokes: [], photo: null });

let stroke = null; // that is being drawn: x, y, x, y, ...
let pointer = null; // that draws it

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

// Without this a finger's stroke counts as a fling, and the next tap only stops that.
canvas.addEventListener("touchstart", (event) => state.photo || event.preventDefault(), { passive: false });
canvas.addEventListener("pointerdown", (event) => {
  if (event.button || !event.isPrimary) return;
  if (state.photo) return pickAt(point(event));
  event.preventDefault();
  document.activeElement.blur();
  canvas.setPointerCapture(event.pointerId);
  const start = point(event);
  change({ strokes: [...state.strokes, start], photo: null });
  [stroke, pointer] = [start, event.pointerId];
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
  if (file.size > largestPhoto) return showMessage(`This photo is too large: more than ${largestPhoto / 1e6} MB`);
  const before = state;
  showMessage("Reading the photo …", true);
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (before !== state) return;
  const onAnswer = (answer) => {
    pick = 0;
    change({ strokes: [], photo: { bitmap, answer } });
  };
  request({ path: "photo", state, body: () => file, onAnswer });
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
  event.dataTransfer.files.length ? open(event.dataTransfer.files[0]) : showMessage("Drop the file of a picture");
});

// ---- the digits of the answer

function show(next) {
  answer = next;
  pick = answer?.picked ?? 0;
  listDigits();
  paint();
  showRow();
}

function choose(number) {
  pick = number;
  const chosen = pixels(number);
  const onAnswer = ({ steps }) => {
    Object.assign(answer, { steps, picked: number });
    pick = number;
    document.getElementsByName("digit")[number].checked = true; // a drawing may have been answered meanwhile
    paint();
    showRow();
  };
  paint();
  request({ path: "image", state, body: () => chosen, onAnswer });
}

const pixels = (number) => Uint8Array.from(atob(answer.digits[number].image), (letter) => letter.charCodeAt(0));
const best = (values) => values.indexOf(Math.max(...values));
const readAs = (digit) => best(digit.answers.reader ?? digit.answers.report);

function listDigits() {
  const several = answer?.digits.length > 1;
  $("choice").hidden = !several;
  $("text").textContent = several ? answer.text.join(" / ") : "";
  const lines = [];
  for (const [number, digit] of several ? answer.digits.entries() : []) {
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "digit", checked: number === pick });
    radio.setAttribute("aria-label", `digit ${number + 1}, read as ${readAs(digit)}`);
    radio.addEventListener("change", () => choose(number));
    const small = Object.assign(document.createElement("canvas"), { width: 28, height: 28 });
    draw28(small, pixels(number));
    label.append(radio, small, String(readAs(digit)));
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

// How a picture of the answer's size is scaled and placed on the sheet.
function placement() {
  const [width, height] = answer.size;
  const scale = Math.min(sheet.width / width, sheet.height / height);
  return { scale, left: (sheet.width - scale * width) / 2, top: (sheet.height - scale * height) / 2 };
}

// Left, top, width and height of the frame around a digit, in units of the canvas.
function frame(number) {
  const { scale, left, top } = placement();
  const box = answer.digits[number].box.map((edge, i) => edge * scale + (i % 2 ? top : left));
  const padding = 6;
  return [box[0] - padding, box[1] - padding, box[2] - box[0] + 2 * padding, box[3] - box[1] + 2 * padding];
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
  const { scale, left, top } = placement();
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

function paintFrames(pen, scale) {
  const size = 16 / scale; // 16 CSS pixels
  pen.font = `700 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "bottom";
  for (const [number, digit] of answer.digits.entries()) {
    const [left, top, width, height] = frame(number);
    pen.strokeStyle = pen.fillStyle = colour(number === pick ? "reader" : "soft");
    pen.lineWidth = (number === pick ? 3 : 1.5) / scale;
    pen.strokeRect(left, top, width, height);
    const bottom = top > size * 1.2 ? top : top + size * 1.25; // of the label, inside the frame where none fits above
    pen.fillRect(left - pen.lineWidth / 2, bottom - size * 1.2, size * 1.05, size * 1.2);
    pen.fillStyle = colour("paper");
    pen.fillText(readAs(digit), left + size * 0.22, bottom);
  }
}

function draw28(target, values) {
  const pen = target.getContext("2d");
  const [red, green, blue] = colour("ink").match(/\w\w/g).map((pair) => parseInt(pair, 16));
  const data = pen.createImageData(28, 28);
  values.forEach((value, i) => data.data.set([red, green, blue, value], 4 * i));
  pen.putImageData(data, 0, 0);
}

// ---- the answers after each row

// One decimal near 0 % and 100 %, but no "0.0 %" or "100.0 %".
const percent = (share) => {
  const decimal = (share >= 0.0005 && share < 0.01) || (share > 0.99 && share < 0.9995);
  return `${(100 * share).toFixed(decimal ? 1 : 0)} %`;
};

function showRow() {
  const row = Number($("row").value);
  $("row-count").textContent = `${row} of 28 rows`;
  $("row").setAttribute("aria-valuetext", $("row-count").textContent);
  $("unread").style.top = `${(100 * row) / 28}%`;
  $("current").style.top = `${(100 * (row - 1)) / 28}%`;
  $("current").hidden = row === 28;
  if (answer) draw28(image, pixels(pick));
  else image.getContext("2d").clearRect(0, 0, 28, 28);
  for (const name of NAMES) {
    const values = answer?.steps[name]?.[row - 1];
    const [prediction, share] = document.querySelectorAll(`.answer.${name} .prediction > *`);
    prediction.textContent = values ? best(values) : "–";
    share.textContent = values ? percent(values[best(values)]) : "";
    for (const [digit, line] of [...$("bars").rows].entries()) {
      line.querySelector(`.number.${name}`).textContent = values ? percent(values[digit]) : "–";
      line.querySelector(`.number.${name}`).classList.toggle("best", Boolean(values) && digit === best(values));
      line.querySelector(`.bar.${name} span`).style.width = `${values ? 100 * values[digit] : 0}%`;
    }
    drawCurves(name, row);
  }
  $("time").textContent = answer ? `read in ${Math.round(answer.milliseconds)} ms` : "";
  announce();
}

let announcing = 0;

// For screen readers, once the answers have been the same for half a second.
function announce() {
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    const row = Number($("row").value);
    const answers = NAMES.filter((name) => answer?.steps[name]).map((name) => {
      const values = answer.steps[name][row - 1];
      return `${networks[name].title}: ${best(values)}, ${percent(values[best(values)])}`;
    });
    $("spoken").textContent = answers.length ? `After ${row} rows. ${answers.join("; ")}.` : "";
  }, 500);
}

const PLOT = { left: 34, right: 292, top: 16, bottom: 112 };
const xOf = (row) => PLOT.left + ((PLOT.right - PLOT.left) * (row - 1)) / 27;
const yOf = (share) => PLOT.bottom - (PLOT.bottom - PLOT.top) * share;

function drawCurves(name, row) {
  const svg = document.querySelector(`.curves .${name} svg`);
  const parts = [];
  const add = (tag, attributes, text = "") => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    part.textContent = text;
    parts.push(part);
  };
  for (const share of [0, 0.5, 1]) {
    add("line", { class: "axis", x1: PLOT.left, x2: PLOT.right, y1: yOf(share), y2: yOf(share) });
    add("text", { x: PLOT.left - 5, y: yOf(share) + 4, "text-anchor": "end" }, `${100 * share}`);
  }
  for (const at of [1, 7, 14, 21, 28]) add("text", { x: xOf(at), y: 126, "text-anchor": "middle" }, at);
  add("line", { class: "now", x1: xOf(row), x2: xOf(row), y1: PLOT.top, y2: PLOT.bottom });
  const values = answer?.steps[name];
  if (values) {
    const winner = best(values[row - 1]);
    const order = [...Array(10).keys()].filter((digit) => digit !== winner).concat(winner);
    const curve = (digit) => values.map((shares) => shares[digit]);
    for (const digit of order) {
      const d = curve(digit).map((share, i) => `${i ? "L" : "M"}${xOf(i + 1).toFixed(1)} ${yOf(share).toFixed(1)}`);
      add("path", { class: digit === winner ? "first" : "", d: d.join("") });
    }
    const leaders = values.map(best); // a digit is written over its curve where it leads
    for (let from = 0, to = 0; from < 28; from = to) {
      while (to < 28 && leaders[to] === leaders[from]) to++;
      const digit = leaders[from];
      const heights = curve(digit).slice(from, to);
      const peak = Math.max(...heights);
      const top = [...heights.keys()].filter((i) => heights[i] > 0.95 * peak);
      if (peak < 0.25 || to - from < 2) continue;
      const position = { x: xOf(from + top[top.length >> 1] + 1), y: yOf(peak) - 4 };
      add("text", { class: digit === winner ? "name first" : "name", ...position }, digit);
    }
  }
  svg.replaceChildren(...parts);
  const end = values && `after all rows ${best(values[27])}, ${percent(values[27][best(values[27])])}`;
  svg.setAttribute("aria-label", `Probabilities over the rows, ${networks[name].title}${end ? `: ${end}` : ""}`);
}

function goToRow(row) {
  $("row").value = row;
  showRow();
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
  if ($("row").value === "28") goToRow(1);
  playing = setInterval(() => {
    goToRow(Number($("row").value) + 1);
    if ($("row").value === "28") pause();
  }, 130);
});
$("row").addEventListener("input", () => {
  pause();
  showRow();
});
for (const svg of document.querySelectorAll(".curves svg")) {
  svg.addEventListener("pointerdown", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 300;
    pause();
    goToRow(Math.round(1 + (27 * (x - PLOT.left)) / (PLOT.right - PLOT.left)));
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
  listDigits();
  paint();
  showRow();
});

function showNetworks() {
  for (const name of NAMES) {
    const { title, about, train } = networks[name];
    document.querySelector(`.answer.${name} h2`).textContent = title;
    document.querySelector(`.bars th.${name}`).textContent = title;
    document.querySelector(`.curves .${name} figcaption`).textContent = `${title}: % after each row`;
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
  const settings = await (await fetch("networks")).json();
  [sheet, networks, largestPhoto] = [settings.canvas, settings.networks, settings.largest_photo];
  if (NAMES.every((name) => networks[name].train)) {
    $("commands").textContent = NAMES.map((name) => networks[name].train).join("\n");
    $("untrained").hidden = false;
  } else {
    showNetworks();
    $("page").hidden = false;
    updateControls();
    showRow();
  }
} catch {
  $("untrained-title").textContent = "The server does not answer";
  $("remedy").textContent = "Start it again, then reload this page:";
  $("commands").textContent = "python -m rnn_tasks.draw";
  $("untrained").hidden = false;
}
