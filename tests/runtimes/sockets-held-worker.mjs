// Counts the sockets that are held in an edge worker.

import { connect } from "streamgate";

import { beRefused, collected, counting, openAndClose } from "./sockets-held.mjs";

export default {
  async fetch(request) {
    const query = new URL(request.url).searchParams;
    const counted = counting(WebSocket);
    const options = { WebSocket: counted.WebSocket };
    await openAndClose(connect, query.get("server"), options, Number(query.get("times")));
    await beRefused(connect, query.get("stopped"), options, Number(query.get("times")));
    const held = await collected(globalThis.gc, counted.held, 0, Number(query.get("hangMs")));
    return Response.json({ opened: counted.opened, held });
  },
};
