// Runs first in every page of a web preview that shares its host with the
// server. Such a page is sandboxed into an opaque origin: it has no cookies and
// no storage, and its absolute addresses would miss the preview's prefix. This
// leads the addresses that scripts make below the prefix, and lends pages a
// storage that lasts as long as they do.
(() => {
  "use strict";
  const script = document.currentScript;
  const prefix = new URL(script.src).pathname.replace(/__hivesync\/frame\.js$/, "");
  script.remove();

  // `/x` on this host becomes `<prefix>x`; everything else stays.
  const led = (address) => {
    const text = String(address);
    if (text.startsWith("/") && !text.startsWith("//")) {
      return text.startsWith(prefix) ? text : prefix + text.slice(1);
    }
    const own = `${location.protocol}//${location.host}/`;
    if (text.startsWith(own)) {
      return own.slice(0, -1) + led(text.slice(own.length - 1));
    }
    return text;
  };
  const ledSet = (text) =>
    String(text).replace(/(^|,)(\s*)(\S+)/g, (_, comma, space, url) => comma + space + led(url));
  const ledStyle = (text) =>
    String(text).replace(/(url\(\s*["']?)(\/[^/"')][^"')]*)/g, (_, open, url) => open + led(url));

  const rules = { src: led, href: led, poster: led, action: led, data: led, srcset: ledSet, style: ledStyle };

  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    const rule = rules[String(name).toLowerCase()];
    return setAttribute.call(this, name, rule ? rule(value) : value);
  };
  const patch = (type, name) => {
    const found = type && Object.getOwnPropertyDescriptor(type.prototype, name);
    if (found && found.set) {
      Object.defineProperty(type.prototype, name, {
        ...found,
        set(value) {
          found.set.call(this, rules[name](value));
        },
      });
    }
  };
  patch(window.HTMLScriptElement, "src");
  patch(window.HTMLLinkElement, "href");
  patch(window.HTMLAnchorElement, "href");
  for (const type of [window.HTMLImageElement, window.HTMLSourceElement]) {
    patch(type, "src");
    patch(type, "srcset");
  }
  patch(window.HTMLMediaElement, "src");
  patch(window.HTMLVideoElement, "poster");
  patch(window.HTMLIFrameElement, "src");

  // What enters the document as markup or as a style is mended as it comes.
  const mend = (element) => {
    for (const name of Object.keys(rules)) {
      const value = element.getAttribute && element.getAttribute(name);
      if (value) {
        const better = rules[name](value);
        if (better !== value) {
          setAttribute.call(element, name, better);
        }
      }
    }
  };
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "attributes") {
        mend(change.target);
        continue;
      }
      for (const node of change.addedNodes) {
        if (node.nodeType === Node.ELEMENT_NODE) {
          mend(node);
          node.querySelectorAll("[src],[href],[srcset],[poster],[style]").forEach(mend);
        }
      }
    }
  }).observe(document, {
    attributes: true,
    attributeFilter: ["src", "href", "srcset", "poster", "style"],
    childList: true,
    subtree: true,
  });

  const fetched = window.fetch;
  window.fetch = (input, options) =>
    fetched.call(window, typeof input === "string" || input instanceof URL ? led(input) : input, options);
  const opened = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    return opened.call(this, method, led(url), ...rest);
  };

  // An opaque origin may not change its path: let routers believe it did.
  for (const name of ["pushState", "replaceState"]) {
    const change = history[name];
    history[name] = function (state, unused, url) {
      try {
        return change.call(history, state, unused, url === undefined || url === null ? url : led(url));
      } catch {
        return change.call(history, state, unused);
      }
    };
  }

  // Reading `localStorage` or `document.cookie` throws here.
  const storage = () => {
    const kept = new Map();
    return {
      getItem: (key) => (kept.has(String(key)) ? kept.get(String(key)) : null),
      setItem: (key, value) => void kept.set(String(key), String(value)),
      removeItem: (key) => void kept.delete(String(key)),
      clear: () => kept.clear(),
      key: (index) => [...kept.keys()][index] ?? null,
      get length() {
        return kept.size;
      },
    };
  };
  for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, name, { configurable: true, value: storage() });
  }
  Object.defineProperty(document, "cookie", { configurable: true, get: () => "", set: () => {} });
})();
