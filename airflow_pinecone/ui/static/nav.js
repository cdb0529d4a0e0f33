// The page inside of Airflow's page: a React component that shows the page's HTML in a shadow root, so that the styles of
// the two do not mix. Airflow's page provides React.

import { showHistory } from "./history.js";

// Airflow looks for the component under this name, which is that of the plugin's React app.
const NAME = "Pinecone backups";
const app = new URL("..", import.meta.url).pathname; // PREFIX/ROUTE/
const [prefix, route] = app.match(/^(.*)\/([^/]+)\/$/).slice(1);
const place = `${prefix}/plugin/${route}`;

function PineconeBackups() {
  const { React, ReactRouterDOM } = globalThis;
  const host = React.useRef(null);
  // Airflow keeps the component when a user follows its link from the page of an index.
  const { pathname, search } = ReactRouterDOM.useLocation();
  React.useEffect(() => {
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    const controller = new AbortController();
    show(root, controller.signal);
    return () => controller.abort();
  }, [pathname, search]);
  return React.createElement("div", { ref: host });
}

async function show(root, signal) {
  showText(root, "Loading…");
  try {
    const response = await fetch(fragmentUrl(), { signal });
    if (response.status === 401) {
      const query = new URLSearchParams({ next: location.href });
      location.replace(`${prefix}/api/v2/auth/login?${query}`);
      return;
    }
    if (!response.headers.get("Content-Type")?.startsWith("text/html")) {
      throw new Error(`the API server responded with the status ${response.status}`);
    }
    // It is safe, because the server has escaped all values.
    root.innerHTML = await response.text();
    scrollInside(root);
    await showHistory(root, signal);
  } catch (error) {
    if (!signal.aborted) {
      showText(root, `The page could not be loaded: ${error.message}. Check the API server, and reload the page.`);
    }
  }
}

// A link to a part of this page would lead to the start page of Airflow, whose page has a base URL.
function scrollInside(root) {
  for (const link of root.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      root.getElementById(link.getAttribute("href").slice(1)).scrollIntoView();
    });
  }
}

function fragmentUrl() {
  const { pathname, search } = location;
  const path = pathname.startsWith(`${place}/`) ? pathname.slice(place.length + 1) : "";
  const query = new URLSearchParams(search);
  query.set("fragment", "1");
  return `${app}${path}?${query}`;
}

function showText(root, text) {
  const paragraph = document.createElement("p");
  paragraph.setAttribute("role", "status");
  paragraph.textContent = text;
  root.replaceChildren(paragraph);
}

globalThis[NAME] = PineconeBackups;
