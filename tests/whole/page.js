// What tests/whole asks of an open page: `net.*`. Loaded before the page's own scripts.
window.net = (() => {
  // ---- requests: the page is idle when no event of Gradio's is under way and frames have passed since

  const pending = new Set();
  const original = window.fetch;
  const watched = /\/gradio_api\/(queue\/|run\/|call\/|upload)/; // not the heartbeat, which never ends
  window.fetch = async (...given) => {
    const url = String(given[0]?.url ?? given[0]);
    if (!watched.test(url)) return original(...given);
    const token = {url};
    pending.add(token);
    try {
      const response = await original(...given);
      if (!response.body || !/event-stream/.test(response.headers.get("content-type") ?? "")) {
        pending.delete(token);
        return response;
      }
      const [theirs, ours] = response.body.tee();
      (async () => {
        const reader = ours.getReader();
        try {
          while (!(await reader.read()).done);
        } catch {
          // the page closed the stream
        } finally {
          pending.delete(token);
        }
      })();
      return new Response(theirs, {status: response.status, headers: response.headers});
    } catch (error) {
      pending.delete(token);
      throw error;
    }
  };

  const FRAMES = 6; // Gradio batches its updates by frame; a chained event starts within a few
  let quiet = 0;
  const count = () => {
    quiet = pending.size || document.readyState !== "complete" ? 0 : quiet + 1;
    requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
  const stir = () => (quiet = 0);
  const idle = () => quiet >= FRAMES && [...document.images].every((image) => image.complete || !visible(image));

  // ---- rules: those of style sheets that the page's author wrote, not Gradio's own files

  const STATE = /:not\(:(?:hover|focus|focus-visible|focus-within|active)\)|:(?:hover|focus-visible|focus-within|focus|active)(?![\w-])/g;
  const PSEUDO = /::(?:before|after|marker|placeholder|selection)/;
  const PREFIX = /\.gradio-container\.gradio-container-[\d-]+ \.contain /g; // Gradio repeats each rule of css= with it
  const plain = (selector) => selector.replace(PREFIX, "").replace(/& /g, "").replace(/\s+/g, " ").trim();
  const identity = (rule) => `${plain(rule.selectorText)} { ${rule.style.cssText} }`;

  const collect = (list, parent, media, owner, found) => {
    [...list].forEach((rule) => {
      if (rule instanceof CSSStyleRule) {
        const full = parent ? rule.selectorText.replace(/&/g, parent) : rule.selectorText;
        const stateless = full.replace(STATE, "");
        if (rule.style.length)
          found.push({
            rule,
            owner,
            media,
            text: full,
            selector: stateless.replace(new RegExp(PSEUDO, "g"), ""),
            pseudo: (stateless.match(PSEUDO) ?? [null])[0],
            state: stateless !== full,
          });
        if (rule.cssRules.length) collect(rule.cssRules, `:is(${full})`, media, rule, found);
      } else if (rule.cssRules) {
        collect(rule.cssRules, parent, media || rule instanceof CSSMediaRule, rule, found);
      }
    });
    return found;
  };
  const ours = (sheet) => !sheet.href && !sheet.ownerNode?.dataset?.net && !/--col-dark/.test(sheet.ownerNode?.textContent ?? "");
  const sheets = (node) => {
    const root = node.getRootNode();
    return [...document.styleSheets, ...(root === document ? [] : root.styleSheets), ...root.adoptedStyleSheets];
  };
  const rules = (node) => sheets(node).filter(ours).flatMap((sheet) => collect(sheet.cssRules, "", false, sheet, []));
  const applies = (element, selector) => {
    try {
      return element.matches(selector);
    } catch {
      return false;
    }
  };

  // ---- drawings: what the page's gr.HTML components hold

  const visible = (element) => element.checkVisibility({visibilityProperty: true});
  const drawings = (scope, without) =>
    [...scope.querySelectorAll(".html-container")].filter(
      (root) => visible(root) && root.querySelector(":scope > * *") && !without?.contains(root),
    );
  const classes = (element) => [...element.classList].filter((name) => !name.startsWith("svelte-"));
  const content = (root) => [...root.querySelectorAll(":scope > * *")];
  const called = (element, root, depth = 3) => {
    const parts = [];
    for (let at = element; at && at !== root && parts.length < depth; at = at.parentElement) {
      const pressed = at.getAttribute("aria-pressed") === "true" ? "[pressed]" : "";
      parts.unshift([at.localName, ...classes(at).sort()].join(".") + pressed);
    }
    return parts.join(" > ");
  };

  const mentions = (selector, name) =>
    selector.split(`.${CSS.escape(name)}`).slice(1).some((rest) => !/^[\w-]/.test(rest));
  const styled = (element, name, known) =>
    known.some(({selector}) => {
      if (!mentions(selector, name)) return false;
      try {
        // a rule for it, for something in it, or for what stands beside it
        if (element.matches(selector) || element.querySelector(selector)) return true;
        return /[+~]/.test(selector) && element.parentElement.querySelector(selector) !== null;
      } catch {
        return false;
      }
    });

  const SHAPES = "path, rect, circle, ellipse, polygon, polyline, text";
  const filled = (shape, known) => {
    for (let at = shape; at instanceof SVGElement; at = at.parentElement) {
      if (at.hasAttribute("fill") || at.style.fill) return true;
      if (known.some(({rule, selector}) => rule.style.fill && applies(at, selector))) return true;
      if (at.localName === "svg") return false;
    }
    return false;
  };
  const listed = (list, known) =>
    list.style.listStyle ||
    known.some(({rule, selector}) => (rule.style.listStyleType || rule.style.paddingLeft) && applies(list, selector));

  const CLIPPED = 1.5; // px: fractions of layout
  const spilled = (element, card) => {
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) return "";
    const style = getComputedStyle(element);
    if (style.clipPath !== "none" || style.clip !== "auto") return ""; // for screen readers only
    let [x, y] = [true, true];
    for (let at = element.parentElement; at && at !== card; at = at.parentElement) {
      const outer = getComputedStyle(at);
      x &&= outer.overflowX === "visible";
      y &&= outer.overflowY === "visible";
    }
    const outer = card.getBoundingClientRect();
    const over = [];
    if (x && box.right > outer.right + CLIPPED) over.push(`${Math.round(box.right - outer.right)} px to the right`);
    if (x && box.left < outer.left - CLIPPED) over.push(`${Math.round(outer.left - box.left)} px to the left`);
    if (y && box.bottom > outer.bottom + CLIPPED) over.push(`${Math.round(box.bottom - outer.bottom)} px below`);
    if (y && box.top < outer.top - CLIPPED) over.push(`${Math.round(outer.top - box.top)} px above`);
    return over.join(", ");
  };

  const problems = (scope, without, hooks = []) => {
    const found = new Set(), known = rules(scope);
    for (const root of drawings(scope, without)) {
      const card = root.closest(".block") ?? root, missing = new Map();
      const prose = root.querySelector(":scope > .prose");
      for (const element of content(root)) {
        for (const name of classes(element)) {
          if (hooks.includes(name)) continue;
          if (!missing.has(name) || missing.get(name)) missing.set(name, styled(element, name, known) ? null : element);
        }
        if (!visible(element)) continue;
        const name = called(element, root);
        if (element.matches(SHAPES) && !element.closest("defs, clipPath, mask") && getComputedStyle(element).fill === "rgb(0, 0, 0)" && !filled(element, known))
          found.add(`default fill: ${name}`);
        if (element.matches("ul, ol") && !prose && getComputedStyle(element).display !== "none" && !listed(element, known))
          found.add(`default list: ${name}`);
        const over = spilled(element, card);
        if (over) found.add(`overflows its card ${over}: ${name}`);
      }
      for (const [name, element] of missing)
        if (element) found.add(`no rule for the class ${name}: ${called(element, root)}`);
    }
    if (document.documentElement.scrollWidth > document.documentElement.clientWidth)
      found.add(`the page is ${document.documentElement.scrollWidth - document.documentElement.clientWidth} px too wide`);
    return [...found].sort();
  };

  // ---- computed styles: for each kind of element what its rules declare came to

  const IGNORED = /^(font-family|transition|animation)/; // the test's own sheet sets these
  const PLACED = /^(width|height|inset|top|left|right|bottom|block-size|inline-size|transform-origin|perspective-origin)/;
  const value = (element, pseudo, name) => {
    if (pseudo || name.startsWith("--")) return getComputedStyle(element, pseudo).getPropertyValue(name).trim();
    const computed = element.computedStyleMap().get(name); // unlike getComputedStyle's, it knows no layout
    return computed === null || computed === undefined ? getComputedStyle(element).getPropertyValue(name) : String(computed);
  };
  const datadriven = (rule, name, names) => {
    const declared = rule.style.getPropertyValue(name);
    const text = declared || rule.style.cssText; // "" where a shorthand holds a var()
    return names.some((inline) => text.includes(`var(${inline})`)) || /url\(/.test(text);
  };
  const inline = (root) => [...new Set([...root.querySelectorAll("[style]")].flatMap((element) => element.getAttribute("style").match(/--[\w-]+/g) ?? []))];

  const ENOUGH = 20; // elements of a kind that are looked at
  const styles = (scope, without, only = "") => {
    const found = {}, counts = new Map();
    const known = rules(scope).filter(({state, media, text}) => !state && !media && text.includes(only));
    for (const root of drawings(scope, without)) {
      const names = inline(root), matched = new Map();
      for (const entry of known)
        for (const element of root.querySelectorAll(entry.selector)) {
          if (!matched.has(element)) matched.set(element, []);
          matched.get(element).push(entry);
        }
      for (const [element, entries] of matched) {
        const kind = called(element, root), line = {};
        if (!kind || counts.get(kind) >= ENOUGH) continue;
        counts.set(kind, (counts.get(kind) ?? 0) + 1);
        for (const {rule, pseudo} of entries)
          for (const name of rule.style) {
            if (IGNORED.test(name)) continue;
            const key = (pseudo ?? "") + name;
            if (datadriven(rule, name, names) || (pseudo && PLACED.test(name))) line[key] ??= "*";
            else line[key] = value(element, pseudo, name);
          }
        const parts = Object.entries(line).sort().map(([name, computed]) => `${name}: ${computed}`);
        if (parts.length) (found[kind] ??= new Set()).add(parts.join("; "));
      }
    }
    return Object.fromEntries(Object.entries(found).map(([kind, lines]) => [kind, [...lines].sort()]));
  };

  // ---- mutants: each rule taken away in turn; what it declares must then come to something else somewhere

  const parsed = (text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return collect(sheet.cssRules, "", false, sheet, []).filter(({state, media}) => !state && !media).map(({rule}) => identity(rule));
  };
  const remove = (live) => {
    const removed = live.map(({rule, owner}) => {
      const [at, text] = [[...owner.cssRules].indexOf(rule), rule.cssText];
      owner.deleteRule(at);
      return [owner, at, text];
    });
    return () => removed.reverse().forEach(([owner, at, text]) => owner.insertRule(text, at));
  };
  const seen = (elements, live) => {
    const names = [...new Set(live.flatMap(({rule}) => [...rule.style]))].filter((name) => !IGNORED.test(name));
    return elements.flatMap(([element, pseudo]) => names.map((name) => value(element, pseudo, name))).join("|");
  };
  // Of the rules `wanted`, by identity: those whose removal shows in these drawings
  const killed = (scope, without, wanted) => {
    if (!wanted.length) return [];
    const all = new Map();
    for (const entry of rules(scope))
      if (!entry.media && !entry.state) {
        const id = identity(entry.rule);
        all.set(id, [...(all.get(id) ?? []), entry]);
      }
    return wanted.filter((id) => {
      const live = all.get(id) ?? [];
      const elements = live.flatMap(({selector, pseudo}) =>
        [...scope.querySelectorAll(selector)].filter((element) => !without?.contains(element)).slice(0, ENOUGH).map((element) => [element, pseudo]),
      );
      if (!elements.length) return false;
      const before = seen(elements, live);
      const restore = remove(live);
      const after = seen(elements, live);
      restore();
      return before !== after;
    });
  };

  // Whether `problems` finds more once these rules, by identity, are gone
  const complains = (scope, without, gone, hooks) => {
    const live = rules(scope).filter(({rule}) => gone.includes(identity(rule)));
    const before = problems(scope, without, hooks);
    const restore = remove(live);
    const after = problems(scope, without, hooks);
    restore();
    return after.some((problem) => !before.includes(problem));
  };

  // ---- pictures: numbers masked, so that times and last digits change nothing

  const NUMBER = /[+\-−]?\d[\d.,  ]*\d|[+\-−]?\d/g;
  let masked = [];
  const mask = (scope, hidden) => {
    const walker = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      const text = node.data.replace(NUMBER, "00");
      if (text !== node.data) {
        masked.push([node, node.data]);
        node.data = text;
      }
    }
    for (const selector of hidden)
      for (const element of scope.querySelectorAll(selector)) {
        masked.push([element, element.style.visibility]);
        element.style.visibility = "hidden";
      }
  };
  const unmask = () => {
    for (const [node, before] of masked.reverse())
      if (node instanceof Text) node.data = before;
      else node.style.visibility = before;
    masked = [];
  };

  // Boxes of blocks and of what drawings hold, from the scope's corner
  const boxes = (scope, without) => {
    const origin = scope.getBoundingClientRect(), found = [];
    for (const element of scope.querySelectorAll(".block, .html-container > * > *, .html-container svg, .html-container table")) {
      if (!visible(element) || (without && without.contains(element))) continue;
      const box = element.getBoundingClientRect();
      if (!box.width || !box.height) continue;
      found.push([called(element, scope, 1), ...[box.x - origin.x, box.y - origin.y, box.width, box.height].map(Math.round)]);
    }
    return found;
  };

  return {idle, stir, problems, styles, parsed, killed, complains, mask, unmask, boxes, drawings, visible, pending};
})();
