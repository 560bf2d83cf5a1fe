// Runs the cases of tokens in a page, and sends the results to the server of the page.

import { connect } from "streamgate";
import { runTokenCases } from "./token-cases.mjs";

const query = new URL(location.href).searchParams;
const results = await runTokenCases(connect, query).catch((error) => ({ "the page": `${error}\n${error.stack}` }));
await fetch("/result", { method: "POST", body: JSON.stringify(results) });
