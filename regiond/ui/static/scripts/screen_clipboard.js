// The clipboard of a VM by SPICE, which spice-html5 does not have: texts, through the agent in the VM, on request.
const TEXT = 1; // the only kind of content: UTF-8
const HEAD_BYTES = 20; // protocol, kind, eight bytes that nobody uses, and the size of what follows
const MOST_BYTES = 256 * 1024; // what is longer is left out

const words = (...values) => {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, index) => view.setUint32(4 * index, value, true));
  return new Uint8Array(view.buffer);
};
const word = (bytes, at) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
const joined = (first, second) => {
  const found = new Uint8Array(first.length + second.length);
  found.set(first);
  found.set(second, first.length);
  return found;
};

// Returns the messages of the agent, which arrive in parts: a function of each part that returns those it completes.
export function messagesOf() {
  let unread = new Uint8Array(0);
  let skipped = 0;
  return (part) => {
    const found = [];
    const left = Math.min(skipped, part.length);
    skipped -= left;
    unread = joined(unread, part.subarray(left));
    while (unread.length >= HEAD_BYTES) {
      const size = word(unread, HEAD_BYTES - 4);
      if (size > MOST_BYTES) {
        skipped = Math.max(0, HEAD_BYTES + size - unread.length);
        unread = unread.slice(HEAD_BYTES + size);
        continue;
      }
      if (unread.length < HEAD_BYTES + size) break;
      found.push({ kind: word(unread, 4), data: unread.slice(HEAD_BYTES, HEAD_BYTES + size) });
      unread = unread.slice(HEAD_BYTES + size);
    }
    return found;
  };
}

// Shares a clipboard by the main channel of a viewer. `show` gets each text that is copied in the VM. Returns a function
// that offers a text to the VM; it returns whether there is an agent that takes it.
export function sharedClipboard(main, constants, show) {
  const read = messagesOf();
  const inherited = main.process_channel_message;
  let own = new Uint8Array(0);
  const send = (kind, bytes) => main.send_agent_message(kind, {
    buffer_size: () => bytes.length,
    to_buffer: (to, at) => new Uint8Array(to).set(bytes, at),
  });
  const answers = {
    [constants.VD_AGENT_ANNOUNCE_CAPABILITIES]: (data) => word(data, 0) && main.announce_agent_capabilities(0),
    [constants.VD_AGENT_CLIPBOARD_GRAB]: (data) => {
      const kinds = Array.from({ length: data.length >> 2 }, (_, index) => word(data, 4 * index));
      if (kinds.includes(TEXT)) send(constants.VD_AGENT_CLIPBOARD_REQUEST, words(TEXT));
    },
    [constants.VD_AGENT_CLIPBOARD_REQUEST]: (data) => {
      if (word(data, 0) === TEXT) send(constants.VD_AGENT_CLIPBOARD, joined(words(TEXT), own));
    },
    [constants.VD_AGENT_CLIPBOARD]: (data) => {
      if (word(data, 0) === TEXT) show(new TextDecoder().decode(data.subarray(4)));
    },
  };
  main.announce_agent_capabilities = (request) => {
    const { VD_AGENT_CAP_MOUSE_STATE, VD_AGENT_CAP_MONITORS_CONFIG, VD_AGENT_CAP_REPLY, VD_AGENT_CAP_CLIPBOARD_BY_DEMAND } = constants;
    const able = [VD_AGENT_CAP_MOUSE_STATE, VD_AGENT_CAP_MONITORS_CONFIG, VD_AGENT_CAP_REPLY, VD_AGENT_CAP_CLIPBOARD_BY_DEMAND];
    send(constants.VD_AGENT_ANNOUNCE_CAPABILITIES, words(request, able.reduce((bits, one) => bits | (1 << one), 0)));
  };
  main.process_channel_message = (message) => {
    if (message.type !== constants.SPICE_MSG_MAIN_AGENT_DATA) return inherited.call(main, message);
    for (const { kind, data } of read(new Uint8Array(message.data))) if (data.length >= 4) answers[kind]?.(data);
    return true;
  };
  return (text) => {
    own = new TextEncoder().encode(text);
    if (main.agent_connected) send(constants.VD_AGENT_CLIPBOARD_GRAB, words(TEXT));
    return Boolean(main.agent_connected);
  };
}
