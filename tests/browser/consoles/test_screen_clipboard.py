"""The clipboard of a SPICE screen: its messages in a browser, with the constants of the viewer and without a VM."""

from __future__ import annotations

from typing import Any

from tests.browser.consoles.test_screen_page import screen
from tests.browser.support.visitor import Visitor
from tests.deployment.deployment import Deployment

# Sends `parts` to a clipboard whose main channel records what it sends, then offers a text.
TRY = """
    async ({ parts, text, agent }) => {
        const scripts = document.querySelector('script[src*="screen"]').src;
        const [{ sharedClipboard }, { Constants }] = await Promise.all([
            import(new URL('./screen_clipboard.js', scripts)), import(new URL('../built/spice.js', scripts)),
        ]);
        const found = { sent: [], shown: [], inherited: 0 };
        const main = {
            agent_connected: agent,
            process_channel_message: () => (found.inherited += 1),
            send_agent_message: (kind, message) => {
                const bytes = new ArrayBuffer(message.buffer_size());
                message.to_buffer(bytes, 0);
                found.sent.push([kind, ...new Uint8Array(bytes)]);
            },
        };
        const offer = sharedClipboard(main, Constants, (text) => found.shown.push(text));
        main.announce_agent_capabilities(1);
        main.process_channel_message({ type: 1 });
        found.offered = offer(text);
        for (const part of parts) {
            main.process_channel_message({
                type: Constants.SPICE_MSG_MAIN_AGENT_DATA, data: new Uint8Array(part).buffer,
            });
        }
        return found;
    }
"""
ANNOUNCE, CLIPBOARD, GRAB, REQUEST = 6, 4, 7, 8
TEXT = [1, 0, 0, 0]


def message(kind: int, *data: int, size: int | None = None) -> list[int]:
    head = (1).to_bytes(4, "little") + kind.to_bytes(4, "little") + bytes(8)
    return [*head, *(len(data) if size is None else size).to_bytes(4, "little"), *data]


async def tried(admin: Visitor, *parts: list[int], text: str = "héllo", agent: bool = True) -> Any:
    return await admin.page.evaluate(TRY, {"parts": parts, "text": text, "agent": agent})


async def test_a_text_is_offered_and_sent_when_the_vm_wants_it(admin: Visitor, fleet: Deployment) -> None:
    await screen(admin, fleet, "web-1")
    found = await tried(admin, message(REQUEST, *TEXT), message(REQUEST, 2, 0, 0, 0))
    announced, offered, sent = found["sent"]
    assert announced == [ANNOUNCE, 1, 0, 0, 0, 0b100111, 0, 0, 0]
    assert offered == [GRAB, *TEXT]
    assert sent == [CLIPBOARD, *TEXT, *"héllo".encode()]
    assert (found["offered"], found["inherited"], found["shown"]) == (True, 1, [])


async def test_what_is_copied_in_the_vm_is_shown_however_it_arrives(admin: Visitor, fleet: Deployment) -> None:
    await screen(admin, fleet, "web-1")
    copied = message(CLIPBOARD, *TEXT, *"grüße".encode())
    stream = [*message(GRAB, 9, 0, 0, 0, *TEXT), *copied, *message(ANNOUNCE, *TEXT, 0, 0, 0, 0), *copied]
    for size in (1, 7, 20, len(stream)):
        parts = [stream[at : at + size] for at in range(0, len(stream), size)]
        found = await tried(admin, *parts, agent=False)
        assert found["shown"] == ["grüße", "grüße"], size
        assert [one[0] for one in found["sent"]] == [ANNOUNCE, REQUEST, ANNOUNCE]
        assert found["offered"] is False


async def test_what_is_too_long_or_unknown_is_left_out(admin: Visitor, fleet: Deployment) -> None:
    await screen(admin, fleet, "web-1")
    long, more = [7] * 100_000, 300_000 - 100_000
    parts = [message(CLIPBOARD, size=300_000), long, [7] * more, message(99, 1, 2, 3, 4), message(GRAB)]
    found = await tried(admin, *parts, message(CLIPBOARD, *TEXT, ord("x")), message(CLIPBOARD, 2, 0, 0, 0, 1))
    assert found["shown"] == ["x"]
