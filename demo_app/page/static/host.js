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

  // Gradio connects the page's heartbeat once. A connection that was cut is made anew, so that the server does not take
  // the visitor for gone; the client, which only waits for its end, is given one that has none.
  function heartbeat(address, signal) {
    let beat;
    const connect = () => {
      beat = new EventSource(address);
      beat.onerror = () => beat.readyState === EventSource.CLOSED && setTimeout(() => signal?.aborted || connect(), 3000);
    };
    connect();
    signal?.addEventListener("abort", () => beat.close());
    return new Response(new ReadableStream(), { headers: { "content-type": "text/event-stream" } });
  }

  const fetched = window.fetch;
  window.fetch = async (...request) => {
    const asked = request[0] instanceof Request ? request[0].url : String(request[0]);
    if (asked.includes("/gradio_api/heartbeat/")) return heartbeat(asked, request[1]?.signal);
    const response = await fetched(...request);
    if (response.status >= 500 && asked.includes("/gradio_api/run/")) {
      response.clone().json().then((said) => said.visible && say(said.title || inLanguage("Error"), said.error)).catch(() => {});
    }
    return response;
  };
})();
