// The theme button: system, light, dark. Runs in the head, before the first
// paint, so that a chosen theme does not flash; without scripts the system's
// theme applies.
(() => {
  "use strict";
  const themes = ["system", "light", "dark"];
  const read = () => {
    try {
      const chosen = localStorage.getItem("theme");
      return themes.includes(chosen) ? chosen : "system";
    } catch {
      return "system";
    }
  };
  const apply = (theme) => {
    if (theme === "system") {
      delete document.documentElement.dataset.theme;
    } else {
      document.documentElement.dataset.theme = theme;
    }
  };
  let theme = read();
  apply(theme);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = `Theme: ${theme}`;
    };
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      apply(theme);
      label();
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // Without storage the choice lasts as long as the page.
      }
    });
  });
})();
