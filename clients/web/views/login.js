/*
 * Asks for the token. A wrong one is found out here, before anything else is asked.
 */
import { h, fill, labelled } from "../dom.js";
import { keepToken } from "../session.js";
import { ask } from "../api.js";

async function works(token) {
    const response = await ask("/v1/searches?page_size=1", {
        headers: { Authorization: `Bearer ${token}` }, tryOnly: true,
    });
    return response.json();
}

export function show(main, { done }) {
    const field = h("input", { type: "password", name: "token", autocomplete: "off", spellcheck: "false", required: true });
    const remember = h("input", { type: "checkbox", id: "remember" });
    const message = h("div", { role: "alert" });
    const button = h("button", { type: "submit" }, "Sign in");
    const form = h("form", { class: "login", novalidate: true },
        h("h1", {}, "Lathe"),
        h("p", {}, "Turns a large language model’s shape down until a better small one appears."),
        labelled("Token", field, "It lies in the file “token” of the service’s data directory."),
        h("label", { class: "check", for: "remember" }, remember, "Keep it in this browser after the tab is closed"),
        message, button);
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const token = field.value.trim();
        fill(message);
        if (!/^[\x21-\x7e]+$/.test(token)) {
            fill(message, h("p", { class: "problem" }, "That is no token: it is a word of plain letters, digits and signs."));
            return;
        }
        button.disabled = true;
        try {
            await works(token);
            keepToken(token, remember.checked);
            done(event);
        } catch (error) {
            fill(message, h("p", { class: "problem" },
                error.status === 401 ? "The service does not know this token." : error.message));
            field.focus();
        }
        button.disabled = false;
    });
    fill(main, form);
    field.focus();
}
