// Tells a chat room (Slack, Mattermost, Rocket.Chat, Discord's /slack) about each message that failed.
//
// Config:  room (optional), the name of the room.
// Secrets: webhook_url, the address that the chat gave you.
// Allowed hosts: that address's host.
import { fetch } from "kabar:hooks/http@1.1.0";
import { get as config } from "kabar:hooks/config@1.1.0";
import { get as secret } from "kabar:hooks/secrets@1.1.0";
import { write as log } from "kabar:hooks/log@1.1.0";

// The engine is a small one, without TextEncoder.
const utf8 = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (sign) => sign.charCodeAt(0));

const retry = (val) => { throw { tag: "retry", val }; };
const reject = (val) => { throw { tag: "reject", val }; };

function text({ message }) {
    const why = message.error ? `${message.error.code}: ${message.error.message}` : "no reason given";
    return `Message ${message.id} to ${message.to} failed (${why})`;
}

export const handler = {
    handle(event) {
        const { tag, val: change } = event.change;
        if (tag !== "message-status" || change.status !== "failed") return;

        const url = secret("webhook_url") ?? reject("the secret webhook_url is missing");
        const body = JSON.stringify({ text: text(change), channel: config("room") });
        const answer = fetch({
            method: "POST",
            url,
            headers: [["content-type", "application/json"]],
            body: utf8(body),
        });
        log("info", `told the chat about ${change.message.id}: ${answer.status}`);
        // The chat is busy or broken: kabar calls again later. Anything else that is not 2xx will not get better.
        if (answer.status === 429 || answer.status >= 500) retry(`the chat answered ${answer.status}`);
        if (answer.status >= 300) reject(`the chat answered ${answer.status}`);
    },
};
