// Gradio 6 shows the sentence of a failed event only if the event was queued: its client drops `visible` from the
// answer of an unqueued one, and the page then says nothing but "Error". So the host says it. Text only, never HTML.
(() => {
  const SECONDS = 10;
  const words = JSON.parse(document.getElementById("demo-app-words")?.textContent ?? "{}"); // language -> English -> text
  const inLanguage = (text) => words[document.documentElement.lang]?.[text] ?? text;

  function say(title, text) {
    let list = document.querySelector(".demo-toasts");
    if (!list) {
      list = document.createElement("div");
      list.className = "demo-toasts";
      document.body.append(list);
    }
    const toast = document.createElement("div");
    toast.className = "demo-toast";
    toast.setAttribute("role", "alert");
    const [heading, sentence, close] = ["strong", "p", "button"].map((tag) => document.createElement(tag));
    heading.textContent = title;
    sentence.textContent = text;
    close.textContent = "×";
    close.ariaLabel = inLanguage("Close");
    close.onclick = () => toast.remove();
    toast.append(close, heading, sentence);
    list.append(toast);
    setTimeout(() => toast.remove(), 1000 * SECONDS);
  }

  // Gradio connects the page's heartbeat once, before this script is here. When that connection ends, it is made anew,
  // so that the server does not take the visitor for gone.
  function connect(address) {
    const beat = new EventSource(address);
    beat.onerror = () => beat.readyState === EventSource.CLOSED && setTimeout(connect, 3000, address);
  }

  new PerformanceObserver((ended) => {
    const beat = ended.getEntries().find((entry) => entry.initiatorType === "fetch" && entry.name.includes("/heartbeat/"));
    if (beat) connect(beat.name);
  }).observe({ type: "resource", buffered: true });

  const fetched = window.fetch;
  window.fetch = async (...request) => {
    const asked = request[0] instanceof Request ? request[0].url : String(request[0]);
    const response = await fetched(...request);
    if (response.status >= 500 && asked.includes("/gradio_api/run/")) {
      response.clone().json().then((said) => said.visible && say(said.title || inLanguage("Error"), said.error)).catch(() => {});
    }
    return response;
  };
})();
