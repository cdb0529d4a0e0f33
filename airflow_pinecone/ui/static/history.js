// The history of an index: the events of its asset, which Airflow's API returns to the user of the page.
// All values are shown as text.

const LIMIT = 100;
const UNKNOWN = "unknown";

// Fill the element for the history, if the page has one. `root` is the document or a shadow root.
export async function showHistory(root, signal) {
  const place = root.querySelector("[data-history]");
  if (!place) {
    return;
  }
  showText(place, "Loading the history…");
  try {
    const events = await readEvents(place.dataset, signal);
    if (events.length === 0) {
      showText(place, "Airflow has no event of a backup of this index. Add its asset to the outlets of VerifyBackupOperator.");
      return;
    }
    place.replaceChildren(historyTable(events, existenceOf(root, place.dataset.asOf), place.dataset.prefix));
  } catch (error) {
    if (!signal?.aborted) {
      showText(place, `The history could not be loaded: ${error.message}.`);
    }
  }
}

// Return a function that says whether the backup of an event exists. The page does not know of a backup that was created
// after it was read.
function existenceOf(root, asOf) {
  const ids = new Set([...root.querySelectorAll("[data-backup-id]")].map((row) => row.dataset.backupId));
  return ({ extra, timestamp }) => {
    if (ids.has(extra?.backup_id)) {
      return "yes";
    }
    return extra?.backup_id && parseTime(timestamp) < parseTime(asOf) ? "no" : UNKNOWN;
  };
}

// A task that reuses a backup adds another event. Keep the oldest one, whose task has created the backup.
function oldestOfEachBackup(events) {
  const ids = events.map((event) => event.extra?.backup_id);
  return events.filter((_, i) => !ids[i] || ids.lastIndexOf(ids[i]) === i);
}

async function readEvents({ assetUri, prefix }, signal) {
  // Airflow 3.1 has no other way to select events by URI. An asset of an AssetAlias is inactive after the run.
  const query = new URLSearchParams({ uri_pattern: assetUri, only_active: "false", limit: LIMIT });
  const { assets } = await readJson(`${prefix}/api/v2/assets?${query}`, signal);
  const events = [];
  for (const asset of assets.filter(({ uri }) => uri === assetUri)) {
    const ofAsset = new URLSearchParams({ asset_id: asset.id, order_by: "-timestamp", limit: LIMIT });
    events.push(...(await readJson(`${prefix}/api/v2/assets/events?${ofAsset}`, signal)).asset_events);
  }
  return oldestOfEachBackup(events);
}

async function readJson(url, signal) {
  const response = await fetch(url, { signal, headers: { Accept: "application/json" } });
  if (!response.ok) {
    const remedy = response.status === 403 ? ". You need the permission to read assets" : "";
    throw new Error(`Airflow's API responded with the status ${response.status}${remedy}`);
  }
  return response.json();
}

function historyTable(events, existence, prefix) {
  const table = element("table");
  table.append(element("caption", `The newest ${LIMIT} backups at most, from the events in Airflow`));
  const head = element("tr");
  for (const name of ["Created", "Records", "Size (bytes)", "Recorded after", "Still exists", "Recorded by"]) {
    head.append(header("col", name));
  }
  table.createTHead().append(head);
  const body = table.createTBody();
  for (const event of events) {
    const extra = event.extra ?? {};
    const created = parseTime(extra.created_at);
    const row = element("tr");
    row.append(header("row", Number.isNaN(created) ? UNKNOWN : showTime(created)));
    row.append(cell(showNumber(extra.record_count), "number"), cell(showNumber(extra.size_bytes), "number"));
    row.append(cell(showDuration((parseTime(event.timestamp) - created) / 1000), "number"));
    row.append(cell(existence(event)));
    row.append(runCell(event, prefix));
    body.append(row);
  }
  const region = element("div");
  region.className = "scroll";
  region.tabIndex = 0;
  region.setAttribute("role", "region");
  region.setAttribute("aria-label", "History");
  region.append(table);
  return region;
}

function runCell(event, prefix) {
  const { source_dag_id: dag, source_run_id: run, source_task_id: task, source_map_index: mapIndex } = event;
  if (!dag || !run || !task) {
    return cell(UNKNOWN);
  }
  const isMapped = mapIndex >= 0;
  const link = element("a", `${dag}.${task}${isMapped ? ` [${mapIndex}]` : ""}`);
  const [dagPart, runPart, taskPart] = [dag, run, task].map(encodeURIComponent);
  const mapped = isMapped ? `/mapped/${encodeURIComponent(mapIndex)}` : "";
  link.href = `${prefix}/dags/${dagPart}/runs/${runPart}/tasks/${taskPart}${mapped}`;
  const result = element("td");
  result.append(link);
  return result;
}

// Times without an offset are in UTC.
function parseTime(text) {
  const hasOffset = /(Z|[+-]\d\d:?\d\d)$/.test(text);
  return Date.parse(hasOffset ? text : `${text}Z`);
}

function showTime(milliseconds) {
  return `${new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function showNumber(value) {
  return Number.isFinite(value) ? value.toLocaleString("en") : UNKNOWN;
}

function showDuration(seconds) {
  if (!(seconds >= 0)) {
    return UNKNOWN;
  }
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

function showText(place, text) {
  const paragraph = element("p", text);
  paragraph.setAttribute("role", "status");
  place.replaceChildren(paragraph);
}

function header(scope, text) {
  const result = element("th", text);
  result.scope = scope;
  return result;
}

function cell(text, className = "") {
  const result = element("td", text);
  result.className = className;
  return result;
}

function element(name, text = "") {
  const result = document.createElement(name);
  result.textContent = text;
  return result;
}
