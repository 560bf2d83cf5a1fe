// Lives through several tokens in an edge worker.

import { connect } from "streamgate";
import { liveThroughTokens } from "./add-and-tail.mjs";

export default {
  async fetch(request) {
    return Response.json(await liveThroughTokens(connect, new URL(request.url).searchParams));
  },
};
