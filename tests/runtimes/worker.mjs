// Runs the bridge in an edge worker. One request lasts as long as its client.

import { fromQuery } from "./bridge.mjs";

export default {
  async fetch(request) {
    await fromQuery(request.url);
    return new Response("the control socket was closed");
  },
};
