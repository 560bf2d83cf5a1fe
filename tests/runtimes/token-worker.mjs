// Runs the cases of tokens in an edge worker.

import { connect } from "streamgate";
import { runTokenCases } from "./token-cases.mjs";

export default {
  async fetch(request) {
    return Response.json(await runTokenCases(connect, new URL(request.url).searchParams));
  },
};
