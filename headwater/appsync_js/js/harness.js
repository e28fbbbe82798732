// Builds ctx for a handler, runs it, and seals the engine so that only the documented globals are left.
(rt) => {
  "use strict";
  const MAX_RESULT_BYTES = 5 * 1024 * 1024;
  // JsEngine moves the library behind this line, which is further down than code can have lines.
  const FIRST_LIBRARY_LINE = 40000;
  const PAYLOAD_MEMBER = '{"payload":}'.length;
  const KEPT_GLOBALS = [
    "Array",
    "Boolean",
    "Infinity",
    "JSON",
    "Math",
    "NaN",
    "Number",
    "Object",
    "String",
    "undefined",
    "isNaN",
    "isFinite",
    "parseInt",
    "parseFloat",
    "util",
    "runtime",
    "extensions",
    "console",
  ];
  const { Raised, EarlyReturn, ZoneNeeded } = rt;

  const deepFreeze = (value) => {
    for (const member of Object.values(value)) {
      if (typeof member === "object" && member !== null) {
        deepFreeze(member);
      }
    }
    return Object.freeze(value);
  };

  // The selection set stays out of everything that enumerates info; code that names it gets it.
  const hide = (info, name) => {
    if (Object.hasOwn(info, name)) {
      Object.defineProperty(info, name, { value: info[name], enumerable: false });
    }
  };
  const toContext = (text) => {
    const ctx = rt.parse(text);
    const { info } = ctx;
    ctx.args = ctx.arguments;
    if (info !== undefined && info !== null) {
      hide(info, "selectionSetList");
      hide(info, "selectionSetGraphQL");
    }
    rt.identity = ctx.identity;
    rt.outErrors = ctx.outErrors;
    return ctx;
  };

  const faultOf = (error) => {
    const message = error instanceof Error ? error.message : String(error);
    const frames = (error instanceof Error ? error.stack ?? "" : "").matchAll(/<input>:(\d+):(\d+)/g);
    // The frames of this library come first where it was called wrongly; what helps is the place of the call.
    const place = [...frames].find(([, line]) => Number(line) < FIRST_LIBRARY_LINE);
    return new Raised(place === undefined ? message : `code.js:${place[1]}:${place[2]}: ${message}`, "Code");
  };
  const describe = (raised) => ({ ...rt.describe(raised), isUnauthorized: raised.isUnauthorized });

  // The answer is one string: the JSON of a plain result, or, by a first character no JSON begins with,
  //   U          undefined
  //   X + JSON   a result or an error together with everything else the handler did
  //   Z + name   the table of this time zone is needed first
  const prepare = (handler, keepsStash) => (text, nowMs, entropy) => {
    rt.begin(nowMs, entropy);
    let ctx = null;
    let result;
    let error = null;
    let skipTo = null;
    try {
      ctx = toContext(text);
      result = handler(ctx);
    } catch (thrown) {
      if (thrown instanceof EarlyReturn) {
        result = thrown.value;
        skipTo = thrown.skipTo;
      } else if (thrown instanceof ZoneNeeded) {
        return `Z${thrown.name}`;
      } else {
        error = thrown instanceof Raised ? thrown : faultOf(thrown);
      }
    }
    const effects = rt.takeEffects();
    if (error === null && effects === null && skipTo === null && !keepsStash) {
      const json = rt.stringify(result);
      if (json === undefined) {
        return "U";
      }
      if (json.length <= MAX_RESULT_BYTES) {
        return json;
      }
      error = new Raised(`The result is larger than ${MAX_RESULT_BYTES} bytes`, "Code");
      result = null;
    }
    const outcome = {
      result: result === undefined ? null : result,
      skipTo,
      error: error === null ? null : describe(error),
    };
    if (keepsStash && ctx !== null) {
      outcome.stash = ctx.stash;
    }
    if (effects !== null) {
      Object.assign(outcome, effects, { appended: effects.appended.map(describe) });
    }
    return `X${rt.stringify(outcome)}`;
  };

  // Both handlers of a unit resolver on the NONE data source in one crossing, each with a context of its own. The
  // answer is that of `response`; or, behind a Q, that of `request` when it did anything but ask for a payload.
  // A response handler that only returns ctx.result cannot tell a payload from its copy, so it is given none.
  const prepareBoth = (request, response, readsMore, returnsResult) => {
    let payload = null;
    const ask = prepare(request, false);
    const answer = prepare((ctx) => {
      ctx.result = payload;
      ctx.error = null;
      return response(ctx);
    }, false);
    const asksPlainly = (asked) =>
      asked === null ||
      asked === undefined ||
      (rt.isMap(asked) && asked.toJSON === undefined && Object.keys(asked).length <= 1);
    return (text, nowMs, entropy, responseEntropy) => {
      rt.begin(nowMs, entropy);
      let asked = false;
      try {
        asked = request(toContext(text));
      } catch {
        // Whatever it was, running the handler anew gives the answer for it: `begin` sets back all it can change.
      }
      if (rt.takeEffects() === null && asksPlainly(asked)) {
        if (returnsResult) {
          const json = rt.stringify(response({ result: asked?.payload ?? null })) ?? "null";
          if (json.length < MAX_RESULT_BYTES - PAYLOAD_MEMBER) {
            return json;
          }
        }
        const json = rt.stringify(asked?.payload ?? null) ?? "null";
        if (json.length < MAX_RESULT_BYTES - PAYLOAD_MEMBER) {
          payload = rt.parse(json);
          return answer(readsMore ? text : "{}", nowMs, responseEntropy);
        }
      }
      const said = ask(text, nowMs, entropy);
      return said[0] === "Z" ? said : `Q${said}`;
    };
  };

  // Both handlers for each of some contexts, one a line, in their order: in one crossing, because the engine's limits cost
  // more than small handlers. The answers are lines too; the last is Z or Q, if one is, because that comes first then.
  const prepareEach = (both) => (texts, nowMs) => {
    const answers = [];
    for (const text of texts.split("\n")) {
      const answer = both(text, nowMs, "", "");
      answers.push(answer);
      if (answer[0] === "Z" || answer[0] === "Q") {
        break;
      }
    }
    return answers.join("\n");
  };

  const setZone = (name, json) => {
    rt.zones.set(name, json === null ? null : rt.parse(json));
  };

  // Assigning to an inherited name of a frozen Object.prototype would throw: make it define an own property.
  const allowOverride = (prototype) => {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      const { value } = Object.getOwnPropertyDescriptor(prototype, name);
      if (value === undefined) {
        continue;
      }
      Object.defineProperty(prototype, name, {
        get: () => value,
        set(own) {
          Object.defineProperty(this, name, { value: own, writable: true, enumerable: true, configurable: true });
        },
      });
    }
  };
  const seal = () => {
    const makers = [() => {}, async () => {}, function* () {}, async function* () {}].map((maker) =>
      Object.getPrototypeOf(maker)
    );
    for (const prototype of makers) {
      Object.defineProperty(prototype, "constructor", { value: undefined });
    }
    for (const name of ["__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"]) {
      delete Object.prototype[name];
    }
    const prototypes = [Array, Boolean, Number, String, Error, RegExp, Map].map((constructor) => constructor.prototype);
    allowOverride(Object.prototype);
    const global = globalThis;
    for (const name of Object.getOwnPropertyNames(global)) {
      if (!KEPT_GLOBALS.includes(name)) {
        delete global[name];
      }
    }
    for (const name of ["Array", "Boolean", "JSON", "Math", "Number", "Object", "String"]) {
      Object.freeze(global[name]);
    }
    for (const prototype of [Object.prototype, ...prototypes, ...makers]) {
      Object.freeze(prototype);
    }
    Object.freeze(global);
  };

  rt.install = () => {
    rt.installText();
    globalThis.JSON = {
      // The service answers a blank string for text that is no JSON.
      parse: (text) => {
        try {
          return rt.parse(text);
        } catch {
          return "";
        }
      },
      stringify: rt.stringify,
    };
    Math.random = rt.randomDouble;
    const main = { util: rt.util, runtime: rt.runtime, extensions: rt.extensions };
    rt.library["@aws-appsync/utils"] = main;
    deepFreeze(rt.library);
    Object.assign(globalThis, main, { console: Object.freeze(rt.console) });
    const handlers = {};
    const setHandlers = (request, response) => {
      for (const [name, handler] of [
        ["request", request],
        ["response", response],
      ]) {
        if (typeof handler !== "function") {
          throw new Error(`${name} is not a function`);
        }
        handlers[name] = handler;
      }
    };
    globalThis.__headwater = {
      library: rt.library,
      tick: rt.tick,
      at: rt.at,
      register: setHandlers,
      registerFactory: (make) => {
        setHandlers(...make());
        setHandlers(
          (ctx) => make()[0](ctx),
          (ctx) => make()[1](ctx)
        );
      },
      prepare: (name, keepsStash) => prepare(handlers[name], keepsStash),
      prepareBoth: (readsMore, returnsResult) =>
        prepareBoth(handlers.request, handlers.response, readsMore, returnsResult),
      prepareEach,
      setZone,
      seal,
    };
  };
};
