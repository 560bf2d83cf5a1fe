// Runs the cases of tokens in a runtime that takes scripts, and prints the results.

import process from "node:process";

import { connect } from "streamgate";
import { runTokenCases } from "./token-cases.mjs";

console.log(JSON.stringify(await runTokenCases(connect, new URLSearchParams(process.argv[2]))));
