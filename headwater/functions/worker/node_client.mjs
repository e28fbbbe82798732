// A Lambda runtime client for Node.js: loads a CommonJS or ES module handler and speaks the Runtime API.
//
// Runs as `node node_client.mjs HANDLER` in the task root; launcher.py has tied the process to its parent's life.
// Source: Lambda developer guide, "Building a custom runtime" and "Define Lambda function handler in Node.js".

import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";
import util from "node:util";

const ROOT = "/2018-06-01/runtime/";
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
// An idle kept-open socket does not hold the event loop, so that its end can be noticed.
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const isJson = process.env.AWS_LAMBDA_LOG_FORMAT === "JSON";
const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
let requestId = "";

function call(method, resource, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : Buffer.from(body);
    const all = data ? { ...headers, "Content-Type": "application/json", "Content-Length": data.length } : headers;
    const request = http.request({ host, port, method, path: ROOT + resource, headers: all, agent }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
    });
    request.on("error", reject);
    request.end(data);
  });
}

// Logging

function log(level, parts) {
  if (isJson) {
    const least = LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL || "INFO");
    if (LEVELS.indexOf(level) < least) return;
    const single = parts.length === 1 && typeof parts[0] === "object" && !(parts[0] instanceof Error);
    const line = { timestamp: new Date().toISOString(), level, requestId, message: single ? parts[0] : util.format(...parts) };
    fs.writeSync(1, `${JSON.stringify(line)}\n`);
    return;
  }
  const text = util.format(...parts).replace(/\n/g, "\r"); // one call is one log event
  fs.writeSync(1, `${new Date().toISOString()}\t${requestId || "undefined"}\t${level}\t${text}\n`);
}

for (const [name, level] of Object.entries({ log: "INFO", info: "INFO", warn: "WARN", error: "ERROR", debug: "DEBUG", trace: "TRACE" })) {
  console[name] = (...parts) => log(level, parts);
}

// Errors

function errorDocument(error) {
  if (error instanceof Error || util.types.isNativeError(error)) {
    return { errorType: error.name || "Error", errorMessage: error.message, trace: (error.stack || "").split("\n") };
  }
  const isText = typeof error === "string";
  return { errorType: typeof error, errorMessage: isText ? error : util.inspect(error), trace: [] };
}

async function failStart(errorType, errorMessage, error) {
  const document = { errorType, errorMessage, trace: error ? (error.stack || "").split("\n") : [] };
  log("ERROR", ["Uncaught Exception", JSON.stringify(document)]);
  await call("POST", "init/error", JSON.stringify(document), { "Lambda-Runtime-Function-Error-Type": errorType });
  process.exit(1);
}

function dieOf(errorType, label, exitCode) {
  return async (error) => {
    const document = { ...errorDocument(error), errorType };
    log("ERROR", [label, JSON.stringify(document)]);
    const resource = requestId ? `invocation/${requestId}/error` : "init/error";
    await call("POST", resource, JSON.stringify(document), { "Lambda-Runtime-Function-Error-Type": errorType });
    process.exit(exitCode);
  };
}

// The handler

async function loadHandler(name) {
  const folder = path.dirname(name);
  const [, moduleName, handlerName] = path.basename(name).match(/^([^.]*)\.(.*)$/) || [];
  if (!handlerName) await failStart("Runtime.MalformedHandlerName", `Bad handler '${name}'`);
  const stem = path.resolve(process.env.LAMBDA_TASK_ROOT, folder, moduleName);
  const file = [".js", ".mjs", ".cjs"].map((ending) => stem + ending).find((candidate) => fs.existsSync(candidate));
  if (!file) await failStart("Runtime.ImportModuleError", `Error: Cannot find module '${moduleName}'`);
  let loaded;
  try {
    loaded = await import(pathToFileURL(file).href);
  } catch (error) {
    const isSyntax = error instanceof SyntaxError;
    await failStart(isSyntax ? "Runtime.UserCodeSyntaxError" : "Runtime.ImportModuleError", String(error), error);
  }
  const find = (from) => handlerName.split(".").reduce((value, part) => value?.[part], from);
  const handler = find(loaded) ?? find(loaded.default);
  if (typeof handler !== "function") {
    await failStart("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  }
  return handler;
}

function contextOf(headers, settle) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    clientContext: headers["lambda-runtime-client-context"] && JSON.parse(headers["lambda-runtime-client-context"]),
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: (error, result) => settle(error, result),
    fail: (error) => settle(error ?? new Error("handled")),
    succeed: (result) => settle(null, result),
  };
}

function run(handler, event, headers) {
  return new Promise((resolve, reject) => {
    const settle = (error, result) => (error === null || error === undefined ? resolve(result) : reject(error));
    // A handler that neither returns a promise nor calls back has ended when nothing is left to do.
    process.once("beforeExit", () => resolve(null));
    const returned = handler(event, contextOf(headers, settle), settle);
    if (typeof returned?.then === "function") returned.then(resolve, reject);
  }).finally(() => process.removeAllListeners("beforeExit"));
}

async function serve(handler) {
  for (;;) {
    const { headers, body } = await call("GET", "invocation/next");
    requestId = headers["lambda-runtime-aws-request-id"];
    process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] ?? "";
    try {
      const answer = JSON.stringify((await run(handler, JSON.parse(body), headers)) ?? null);
      await call("POST", `invocation/${requestId}/response`, answer ?? "null");
    } catch (error) {
      const document = errorDocument(error);
      log("ERROR", ["Invoke Error", JSON.stringify(document)]);
      const type = { "Lambda-Runtime-Function-Error-Type": document.errorType };
      await call("POST", `invocation/${requestId}/error`, JSON.stringify(document), type);
    }
    requestId = "";
  }
}

process.on("uncaughtException", dieOf("Runtime.UncaughtException", "Uncaught Exception", 129));
process.on("unhandledRejection", dieOf("Runtime.UnhandledPromiseRejection", "Unhandled Promise Rejection", 128));
await serve(await loadHandler(process.argv[2]));
