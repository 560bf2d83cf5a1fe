// Lives through several tokens in a page, and sends the result to the server of the page.

import { connect } from "streamgate";
import { liveThroughTokens } from "./add-and-tail.mjs";

const query = new URL(location.href).searchParams;
const result = await liveThroughTokens(connect, query).catch((error) => ({ error: `${error}\n${error.stack}` }));
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
