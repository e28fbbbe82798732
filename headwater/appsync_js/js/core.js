// What one call of a handler may do besides returning: errors, early return, extensions, logs and entropy.
(rt) => {
  "use strict";
  const MAX_LOOP_ITERATIONS = 1000;
  const MAX_INVALIDATIONS = 5;

  // Thrown by util.error and friends; carries what becomes one entry of the GraphQL errors.
  class Raised {
    constructor(message, errorType, data, errorInfo) {
      this.message = message === undefined ? null : message;
      this.errorType = errorType === undefined ? null : errorType;
      this.data = data === undefined ? null : data;
      this.errorInfo = errorInfo === undefined ? null : errorInfo;
      this.isUnauthorized = false;
    }
  }
  class EarlyReturn {
    constructor(value, skipTo) {
      this.value = value;
      this.skipTo = skipTo;
    }
  }
  // The zone's table is not loaded yet: the caller loads it and runs the handler again.
  class ZoneNeeded {
    constructor(name) {
      this.name = name;
    }
  }
  rt.Raised = Raised;
  rt.EarlyReturn = EarlyReturn;
  rt.ZoneNeeded = ZoneNeeded;

  rt.describe = (raised) => ({
    message: raised.message === null ? null : String(raised.message),
    errorType: raised.errorType === null ? null : String(raised.errorType),
    data: raised.data,
    errorInfo: raised.errorInfo,
  });

  // A fault of the code itself, an argument a helper rejects: AppSync gives it the type "Code".
  rt.fault = (message) => {
    throw new Raised(message, "Code");
  };

  rt.parse = JSON.parse;
  rt.stringify = JSON.stringify;
  rt.isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  rt.zones = new Map();
  // Of the ctx of the running call: what helpers look at beside their arguments.
  rt.identity = undefined;
  rt.outErrors = undefined;

  const emptyEffects = () => ({
    appended: [],
    logs: [],
    invalidations: [],
    evictions: [],
    responseHeaders: {},
    subscriptionFilter: null,
    invalidationFilter: null,
  });
  let effects = null;
  rt.effects = () => (effects === null ? (effects = emptyEffects()) : effects);
  rt.takeEffects = () => {
    const taken = effects;
    effects = null;
    return taken;
  };

  let seed = "";
  let stream = null;
  rt.now = 0;
  rt.begin = (nowMs, entropy) => {
    effects = null;
    rt.now = nowMs;
    seed = entropy ?? "";
    stream = null;
  };

  // sfc32 over the injected entropy: one draw of the caller's random source serves a whole call.
  const openStream = () => {
    const words = [0, 0, 0, 1];
    for (let i = 0; i < seed.length; i++) {
      const slot = (i >> 3) & 3;
      words[slot] = (Math.imul(words[slot], 16777619) ^ seed.charCodeAt(i)) >>> 0;
    }
    let [a, b, c, d] = words;
    const next = () => {
      const sum = (((a + b) >>> 0) + d) >>> 0;
      d = (d + 1) >>> 0;
      a = (b ^ (b >>> 9)) >>> 0;
      b = (c + (c << 3)) >>> 0;
      c = (((c << 21) | (c >>> 11)) + sum) >>> 0;
      return sum;
    };
    for (let i = 0; i < 12; i++) {
      next();
    }
    return next;
  };
  rt.randomWord = () => {
    if (stream === null) {
      stream = openStream();
    }
    return stream();
  };
  rt.randomBytes = (count) => {
    const bytes = [];
    while (bytes.length < count) {
      const word = rt.randomWord();
      bytes.push(word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24);
    }
    return bytes.slice(0, count);
  };
  rt.randomDouble = () => ((rt.randomWord() >>> 5) * 67108864 + (rt.randomWord() >>> 6)) / 9007199254740992;

  rt.tick = (count) => {
    if (count > MAX_LOOP_ITERATIONS) {
      rt.fault(`A loop ran more than ${MAX_LOOP_ITERATIONS} iterations`);
    }
  };

  rt.util = {
    error: (message, errorType, data, errorInfo) => {
      throw new Raised(message, errorType, data, errorInfo);
    },
    appendError: (message, errorType, data, errorInfo) => {
      const raised = new Raised(message, errorType, data, errorInfo);
      rt.effects().appended.push(raised);
      if (Array.isArray(rt.outErrors)) {
        rt.outErrors.push(rt.describe(raised));
      }
    },
    unauthorized: () => {
      const raised = new Raised("Unauthorized", "UnauthorizedException");
      raised.isUnauthorized = true;
      throw raised;
    },
  };

  rt.runtime = {
    earlyReturn: (value, options) => {
      throw new EarlyReturn(value, options && options.skipTo === "END" ? "END" : "NEXT");
    },
  };

  const expectArgument = (isRight, call, expected, found) => {
    if (!isRight) {
      rt.fault(`extensions.${call} expects ${expected}, not ${rt.stringify(found) ?? typeof found}`);
    }
  };
  rt.extensions = {
    evictFromApiCache: (typeName, fieldName, keys) => {
      const given = keys ?? {};
      expectArgument(typeof typeName === "string", "evictFromApiCache", "the name of a type", typeName);
      expectArgument(typeof fieldName === "string", "evictFromApiCache", "the name of a field", fieldName);
      expectArgument(rt.isMap(given), "evictFromApiCache", "an object of caching keys", given);
      rt.effects().evictions.push({ typeName, fieldName, keys: given });
      return null;
    },
    setSubscriptionFilter: (filter) => {
      rt.effects().subscriptionFilter = filter;
    },
    setSubscriptionInvalidationFilter: (filter) => {
      rt.effects().invalidationFilter = filter;
    },
    invalidateSubscriptions: (invalidation) => {
      expectArgument(
        rt.isMap(invalidation) && typeof invalidation.subscriptionField === "string" && rt.isMap(invalidation.payload),
        "invalidateSubscriptions",
        "an object with subscriptionField (a string) and payload (an object)",
        invalidation
      );
      const { invalidations } = rt.effects();
      if (invalidations.length >= MAX_INVALIDATIONS) {
        rt.fault(`extensions.invalidateSubscriptions may be called ${MAX_INVALIDATIONS} times in a request`);
      }
      invalidations.push(invalidation);
    },
  };

  // Where in the sources a call of console stands; the loader adds it as the last argument.
  class Place {
    constructor(text) {
      this.text = text;
    }
  }
  rt.at = (text) => new Place(text);
  const log =
    (level) =>
    (...values) => {
      const last = values[values.length - 1];
      const place = last instanceof Place ? values.pop().text : "code.js";
      const texts = values.map((value) => rt.stringify(value) ?? "undefined");
      rt.effects().logs.push(`${level} - ${place}: ${texts.join(" ")}`);
    };
  rt.console = { log: log("INFO"), error: log("ERROR"), debug: log("DEBUG") };
};
