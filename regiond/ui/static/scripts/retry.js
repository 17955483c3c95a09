// A page that could not be shown because something was away is loaded again when it works.
"use strict";

(() => {
  const EVERY_MS = 2000;

  async function retry() {
    try {
      const response = await fetch(location.href, { method: "HEAD", cache: "no-store", redirect: "manual" });
      if (response.status !== 503) return location.reload();
    } catch {
      // the region is away too
    }
    setTimeout(retry, EVERY_MS);
  }

  setTimeout(retry, EVERY_MS);
})();
