// The page of a preview: asks for the build, follows its stages and its log,
// and opens what came of it.
(() => {
  "use strict";
  const page = document.getElementById("preview");
  const byId = (id) => document.getElementById(id);
  const prefix = page.dataset.prefix;
  const isWeb = page.dataset.web === "true";
  const token = location.pathname.split("/").pop();
  const statuses = {
    queued: "Waiting for a free builder",
    building: "Checking the commit out",
    downloading_deps: "Installing dependencies",
    bundling: "Bundling",
    uploading: "Packaging and storing the bundle",
    success: "Ready",
    failed: "The build has failed",
    cancelled: "The build was cancelled",
  };
  const isFinal = (status) => ["success", "failed", "cancelled"].includes(status);

  const expires = byId("expires");
  expires.textContent = new Date(expires.dateTime).toLocaleTimeString();

  const fail = (message) => {
    byId("problem").textContent = message;
    byId("problem").hidden = false;
  };

  const show = (preview) => {
    const guess = preview.eta_seconds ? `, about ${preview.eta_seconds} s left` : "";
    byId("state").textContent = statuses[preview.status] + guess;
    byId("progress").value = preview.progress;
    byId("progress").textContent = `${Math.round(preview.progress * 100)} %`;
    page.classList.toggle("done", preview.status === "success");
    page.classList.toggle("failed", preview.status === "failed" || preview.status === "cancelled");
    let past = preview.stage !== null;
    for (const item of byId("stages").children) {
      const current = item.dataset.stage === preview.stage && preview.status !== "success";
      item.toggleAttribute("aria-current", false);
      if (current) {
        item.setAttribute("aria-current", "step");
        past = false;
      }
      item.classList.toggle("past", past || preview.status === "success");
    }
    if (preview.error) {
      fail(`${preview.error.code}: ${preview.error.message}`);
    }
  };

  // The lines around the one that the failure quotes, or else the last ones.
  const failingLines = (log, { code, message }) => {
    const lines = log
      .replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "")
      .split("\n")
      .filter((line) => line.trim() !== "" && line !== `${code}: ${message}`);
    const quoted = lines.findIndex((line) => {
      const begin = line.trim().slice(0, 24);
      return begin.length >= 8 && message.startsWith(begin);
    });
    const first = quoted < 0 ? lines.length - 12 : quoted - 2;
    return lines.slice(Math.max(first, 0)).slice(0, 12).join("\n");
  };

  const explain = async (preview, access) => {
    const query = `?access=${encodeURIComponent(access)}`;
    const answer = await fetch(`${prefix}/api/v1/preview/logs/${preview.job_id}${query}`).catch(
      () => null,
    );
    const lines = answer?.ok ? failingLines(await answer.text(), preview.error) : "";
    byId("failing").textContent = lines;
    byId("failing").hidden = lines === "";
  };

  // Bytecode is compiled after the build, in the background, if at all.
  const bytecodeTries = 24;
  const bytecodePause = 5000;
  const offerBytecode = (preview, query, tries) => {
    if (preview.bytecode) {
      byId("bytecode").href = `${prefix}/api/v1/preview/bytecode/${preview.job_id}${query}`;
      byId("bytecode").textContent = `Download Hermes bytecode (version ${preview.bytecode.version})`;
      byId("bytecode").hidden = false;
    } else if (!isWeb && tries < bytecodeTries) {
      setTimeout(async () => {
        const address = `${prefix}/api/v1/preview/status/${preview.job_id}${query}`;
        const answer = await fetch(address).catch(() => null);
        if (answer?.ok) {
          offerBytecode(await answer.json(), query, tries + 1);
        }
      }, bytecodePause);
    }
  };

  const finish = (preview, access) => {
    if (preview.status !== "success") {
      // There is nothing to open on a phone.
      byId("phone").hidden = true;
      if (preview.error) {
        explain(preview, access);
      }
      return;
    }
    const query = `?access=${encodeURIComponent(access)}`;
    byId("download").href = `${prefix}/api/v1/preview/download/${preview.job_id}${query}`;
    byId("download").hidden = false;
    offerBytecode(preview, query, 0);
    if (isWeb) {
      const address = `${prefix}/p/${preview.job_id}/${query}`;
      byId("open").href = address;
      byId("open").hidden = false;
      byId("screen").src = address;
      byId("device").hidden = false;
    }
  };

  const follow = (job, access) => {
    const query = `?access=${encodeURIComponent(access)}`;
    const states = new EventSource(`${prefix}/api/v1/preview/events/${job}${query}`);
    states.onmessage = (event) => {
      const preview = JSON.parse(event.data);
      show(preview);
      if (isFinal(preview.status)) {
        states.close();
        finish(preview, access);
      }
    };
    states.onerror = () => {
      if (states.readyState === EventSource.CLOSED) {
        fail("The server no longer tells how the build goes on. Load the page again.");
      }
    };

    const output = byId("log");
    const log = new AnsiLog(output);
    let told = 0;
    byId("log-section").hidden = false;
    byId("log-text").href = `${prefix}/api/v1/preview/logs/${job}${query}`;
    const lines = new EventSource(`${prefix}/api/v1/preview/logs/${job}${query}`);
    lines.onmessage = (event) => {
      const offset = Number(event.lastEventId);
      if (offset <= told) {
        // The build was retried, and its log begins anew.
        log.clear();
      }
      told = offset;
      log.write(JSON.parse(event.data).text);
      if (byId("follow").checked) {
        output.scrollTop = output.scrollHeight;
      }
    };
  };

  const button = byId("build");
  const build = async () => {
    button.disabled = true;
    byId("problem").hidden = true;
    byId("state").textContent = "Asking for the build";
    try {
      const response = await fetch(`${prefix}/api/v1/preview/build`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ token }),
      });
      const answer = await response.json();
      if (!response.ok) {
        throw new Error(answer.error.message);
      }
      button.hidden = true;
      follow(answer.job_id, answer.access_token);
    } catch (error) {
      byId("state").textContent = "The build could not be started";
      fail(error.message);
      button.disabled = false;
    }
  };
  button.addEventListener("click", build);
  button.hidden = false;
  if (page.dataset.started === "true") {
    // This link has a build already; asking again answers the same one.
    build();
  }
})();
