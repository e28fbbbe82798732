// util.http and util.xml.
(rt) => {
  "use strict";
  const NOT_COPIED = [
    "transfer-encoding",
    "connection",
    "host",
    "expect",
    "keep-alive",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "content-length",
  ];
  const NOT_ADDED = [
    ...NOT_COPIED,
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "vary",
    "content-type",
  ];
  const MAX_HEADER_BYTES = 4096;
  const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
  // Line breaks would let whoever names the value write headers of their own, and the rest is no HTTP.
  const HEADER_VALUE = /^[\t\x20-\x7e\xa0-\xff]*$/;

  const addResponseHeader = (name, value) => {
    const text = name === null || name === undefined ? "" : String(name);
    const lower = text.toLowerCase();
    const refuse = (why) => {
      rt.effects().appended.push(new rt.Raised(why, "ResponseHeaderError"));
      return null;
    };
    if (text === "" || value === null || value === undefined) {
      refuse(`The response header ${rt.stringify(text)} needs a name and a value`);
    } else if (NOT_ADDED.includes(lower) || lower.startsWith("x-amzn-") || lower.startsWith("x-amz-")) {
      refuse(`The response header ${text} is restricted`);
    } else if (!HEADER_NAME.test(text)) {
      refuse(`The response header ${rt.stringify(text)} has a name that HTTP does not allow`);
    } else {
      const { responseHeaders } = rt.effects();
      const added = { ...responseHeaders, [text]: typeof value === "object" ? rt.stringify(value) : String(value) };
      if (!HEADER_VALUE.test(added[text])) {
        return refuse(`The response header ${text} has a value that HTTP does not allow`);
      }
      // The latest definition counts, however its name is written.
      for (const other of Object.keys(responseHeaders)) {
        if (other !== text && other.toLowerCase() === lower) {
          delete added[other];
          delete responseHeaders[other];
        }
      }
      const size = Object.entries(added).reduce((total, [key, item]) => total + key.length + item.length, 0);
      if (size > MAX_HEADER_BYTES) {
        refuse(`Response headers are limited to ${MAX_HEADER_BYTES} bytes, ${text} makes them ${size}`);
      } else {
        responseHeaders[text] = added[text];
      }
    }
    return null;
  };
  rt.util.http = {
    copyHeaders: (headers) =>
      rt.isMap(headers)
        ? Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_COPIED.includes(name.toLowerCase())))
        : {},
    addResponseHeader,
    addResponseHeaders: (headers) => {
      for (const [name, value] of rt.isMap(headers) ? Object.entries(headers) : []) {
        addResponseHeader(name, value);
      }
      return null;
    },
  };

  // XML to maps: attributes and children are keys, repeated children a list, mixed text is "content".
  const ENTITIES = { lt: "<", gt: ">", amp: "&", apos: "'", quot: '"' };
  const decode = (text) =>
    text.replace(/&(#x[0-9a-fA-F]+|#\d+|\w+);/g, (whole, name) => {
      if (name[0] === "#") {
        return String.fromCodePoint(name[1] === "x" ? parseInt(name.slice(2), 16) : Number(name.slice(1)));
      }
      return ENTITIES[name] ?? whole;
    });
  const toValue = (text) => {
    if (text === "true" || text === "false") {
      return text === "true";
    }
    if (text === "null") {
      return null;
    }
    // A number is one only if it prints back the same: codes such as 007 or 1e5 stay text.
    return /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/.test(text) && Number.isFinite(Number(text)) && text.length < 17
      ? Number(text)
      : text;
  };
  const put = (map, name, value) => {
    if (!Object.hasOwn(map, name)) {
      map[name] = value;
    } else if (Array.isArray(map[name])) {
      map[name].push(value);
    } else {
      map[name] = [map[name], value];
    }
  };
  const attributesOf = (text) => {
    const attributes = {};
    for (const [, name, , double, single] of text.matchAll(/([\w:.-]+)\s*=\s*("([^"]*)"|'([^']*)')/g)) {
      attributes[name] = toValue(decode(double ?? single));
    }
    return attributes;
  };
  const OPENED = /<([\w:.-]+)((?:\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(\/?)>/;
  const SKIPPED = /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<![^>]*>/;
  const TOKEN = new RegExp(
    `<!\\[CDATA\\[([\\s\\S]*?)\\]\\]>|${SKIPPED.source}|<\\/([\\w:.-]+)\\s*>|${OPENED.source}|([^<]+)|<`,
    "g"
  );
  const toMap = (xml) => {
    const root = {};
    const open = [{ name: null, map: root, text: "" }];
    const close = () => {
      const { name, map, text } = open.pop();
      const trimmed = text.trim();
      const hasKeys = Object.keys(map).length > 0;
      if (hasKeys && trimmed !== "") {
        put(map, "content", toValue(trimmed));
      }
      put(open[open.length - 1].map, name, hasKeys ? map : toValue(trimmed));
    };
    for (const [whole, cdata, closed, opened, attributes, selfClosed, text] of String(xml).matchAll(TOKEN)) {
      const current = open[open.length - 1];
      if (whole === "<") {
        rt.fault("The XML is not well formed: a tag does not end");
      } else if (closed !== undefined) {
        if (current.name !== closed) {
          rt.fault(
            `The XML is not well formed: </${closed}> closes ${current.name === null ? "nothing" : `<${current.name}>`}`
          );
        }
        close();
      } else if (opened !== undefined) {
        open.push({ name: opened, map: attributesOf(attributes), text: "" });
        if (selfClosed === "/") {
          close();
        }
      } else if (cdata !== undefined || text !== undefined) {
        current.text += cdata ?? decode(text);
      }
    }
    if (open.length > 1) {
      rt.fault(`The XML is not well formed: <${open[open.length - 1].name}> is not closed`);
    }
    return root;
  };
  rt.util.xml = {
    toMap: (xml) => (xml === null || xml === undefined ? null : toMap(xml)),
    toJsonString: (xml, isEncoded) => {
      const json = rt.stringify(toMap(xml));
      return isEncoded === true ? rt.stringify(json) : json;
    },
  };
};
