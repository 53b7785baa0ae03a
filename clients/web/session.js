/*
 * The token of the person in front of the page. It lives in this tab (sessionStorage), in
 * the browser (localStorage) only when asked to, and never in an address.
 */
const KEY = "lathe.token";
const THEME = "lathe.theme";

export function token() {
    return sessionStorage.getItem(KEY) || localStorage.getItem(KEY);
}

export function keepToken(value, remember) {
    dropToken();
    (remember ? localStorage : sessionStorage).setItem(KEY, value);
}

export function dropToken() {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
}

/* "light", "dark" or "" for what the system says. */
export function theme() {
    const saved = localStorage.getItem(THEME);
    return saved === "light" || saved === "dark" ? saved : "";
}

export function applyTheme(value = theme()) {
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
}

export function isDark() {
    return (theme() || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

export function toggleTheme() {
    localStorage.setItem(THEME, isDark() ? "light" : "dark");
    applyTheme();
    dispatchEvent(new Event("themechange"));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change",
    () => dispatchEvent(new Event("themechange")));
