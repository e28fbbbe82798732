// Text: encodings, escapes, Java regular expressions and Unicode normal forms.
(rt) => {
  "use strict";
  const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const { encodeURIComponent, decodeURIComponent } = globalThis;

  const toUtf8 = (text) => {
    const bytes = [];
    for (const character of String(text)) {
      const point = character.codePointAt(0);
      if (point < 0x80) {
        bytes.push(point);
      } else if (point < 0x800) {
        bytes.push(0xc0 | (point >> 6), 0x80 | (point & 63));
      } else if (point < 0x10000) {
        bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
      } else {
        bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
      }
    }
    return bytes;
  };

  // Malformed sequences become U+FFFD, as Java's String(bytes, UTF_8) does.
  const fromUtf8 = (bytes) => {
    let text = "";
    for (let i = 0; i < bytes.length; ) {
      const lead = bytes[i];
      const extra =
        lead < 0x80
          ? 0
          : lead >= 0xc2 && lead < 0xe0
          ? 1
          : (lead & 0xf0) === 0xe0
          ? 2
          : lead >= 0xf0 && lead < 0xf5
          ? 3
          : -1;
      let point = extra === 0 ? lead : lead & (0x3f >> extra);
      let taken = 1;
      while (taken <= extra && (bytes[i + taken] & 0xc0) === 0x80) {
        point = (point << 6) | (bytes[i + taken] & 63);
        taken += 1;
      }
      const isWhole = extra >= 0 && taken === extra + 1 && point < 0x110000 && (point < 0xd800 || point > 0xdfff);
      text += isWhole ? String.fromCodePoint(point) : "\ufffd";
      i += taken;
    }
    return text;
  };

  rt.util.base64Encode = (value) => {
    if (value === null || value === undefined) {
      return null;
    }
    const bytes = toUtf8(value);
    let text = "";
    for (let i = 0; i < bytes.length; i += 3) {
      const group = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
      text += BASE64[group >> 18] + BASE64[(group >> 12) & 63];
      text += i + 1 < bytes.length ? BASE64[(group >> 6) & 63] : "=";
      text += i + 2 < bytes.length ? BASE64[group & 63] : "=";
    }
    return text;
  };

  rt.util.base64Decode = (value) => {
    if (value === null || value === undefined) {
      return null;
    }
    const bytes = [];
    let group = 0;
    let bits = 0;
    for (const character of String(value).replace(/=+$/, "")) {
      const digit = BASE64.indexOf(character);
      if (digit < 0) {
        rt.fault(`Illegal base64 character ${rt.stringify(character)}`);
      }
      group = ((group << 6) | digit) & 0xffffff;
      bits += 6;
      if (bits >= 8) {
        bits -= 8;
        bytes.push((group >> bits) & 255);
      }
    }
    return fromUtf8(bytes);
  };

  const percent = (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  rt.util.urlEncode = (value) =>
    value === null || value === undefined
      ? null
      : encodeURIComponent(String(value))
          .replace(/[!'()~]/g, percent)
          .replace(/%20/g, "+");
  rt.util.urlDecode = (value) =>
    value === null || value === undefined ? null : decodeURIComponent(String(value).replace(/\+/g, " "));

  const ESCAPES = {
    "'": "\\'",
    '"': '\\"',
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\n": "\\n",
    "\t": "\\t",
    "\f": "\\f",
    "\r": "\\r",
  };
  rt.util.escapeJavaScript = (value) =>
    value === null || value === undefined
      ? null
      : String(value).replace(
          /['"\\/\u0000-\u001f\u0080-\uffff]/g,
          (character) =>
            ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`
        );

  rt.util.str = {
    normalize: (value, form) => {
      const name = String(form).toUpperCase();
      if (!["NFC", "NFD", "NFKC", "NFKD"].includes(name)) {
        rt.fault(`Unknown normalization form ${form}: expected nfc, nfd, nfkc or nfkd`);
      }
      return value === null || value === undefined ? null : String(value).normalize(name);
    },
  };

  // java.util.regex.Pattern differs from ECMAScript in a few spellings; what has no counterpart is refused.
  const CLASSES = {
    Lower: "a-z",
    Upper: "A-Z",
    ASCII: "\\x00-\\x7f",
    Alpha: "a-zA-Z",
    Digit: "0-9",
    Alnum: "a-zA-Z0-9",
    Punct: "!-\\/:-@\\[-`\\{-~",
    Graph: "!-~",
    Print: " -~",
    Blank: " \\t",
    Cntrl: "\\x00-\\x1f\\x7f",
    XDigit: "0-9a-fA-F",
    Space: "\\s",
    javaLowerCase: "\\p{Ll}",
    javaUpperCase: "\\p{Lu}",
    javaWhitespace: "\\s",
    IsAlphabetic: "\\p{Alphabetic}",
    IsDigit: "\\p{Nd}",
    IsLetter: "\\p{L}",
    IsUppercase: "\\p{Uppercase}",
    IsLowercase: "\\p{Lowercase}",
    IsPunctuation: "\\p{P}",
    IsWhite_Space: "\\p{White_Space}",
  };
  const HORIZONTAL = " \\t\\xa0\\u1680\\u180e\\u2000-\\u200a\\u202f\\u205f\\u3000";
  const SYNTAX = "^$\\.*+?()[]{}|/";
  const quote = (character) => (SYNTAX.includes(character) ? `\\${character}` : character);
  const unsupported = (what, pattern) =>
    rt.fault(`${what} in the pattern ${rt.stringify(pattern)} is not supported here`);

  // Translates the escape at pattern[i] = "\\"; returns [text, index after it].
  const translateEscape = (pattern, i, isInClass) => {
    const letter = pattern[i + 1];
    if (letter === undefined) {
      rt.fault(`Unexpected internal error near index ${i} in ${rt.stringify(pattern)}`);
    }
    const wrap = (inner, isNegated) => (isInClass && !isNegated ? inner : `[${isNegated ? "^" : ""}${inner}]`);
    if (letter === "p" || letter === "P") {
      const [whole, long, short] =
        /^\{(\w+(?:=\w+)?)\}|^(\w)/.exec(pattern.slice(i + 2)) ?? unsupported("\\p without a name", pattern);
      const name = long ?? short;
      const known = CLASSES[name];
      const text =
        known !== undefined ? wrap(known, letter === "P") : `\\${letter}{${name.replace(/^Is(?=[A-Z])/, "")}}`;
      return [text, i + 2 + whole.length];
    }
    if (letter === "h" || letter === "H") {
      return [wrap(HORIZONTAL, letter === "H"), i + 2];
    }
    if (letter === "Q") {
      const end = pattern.indexOf("\\E", i + 2);
      const quoted = pattern.slice(i + 2, end < 0 ? pattern.length : end);
      return [[...quoted].map(quote).join(""), end < 0 ? pattern.length : end + 2];
    }
    const anchors = {
      A: "(?<![\\s\\S])",
      z: "(?![\\s\\S])",
      Z: "(?=\\n?(?![\\s\\S]))",
      R: "(?:\\r\\n|[\\n-\\r\\x85\\u2028\\u2029])",
      E: "",
      e: "\\x1b",
      a: "\\x07",
    };
    if (anchors[letter] !== undefined) {
      return [anchors[letter], i + 2];
    }
    if (/[GXN]/.test(letter)) {
      unsupported(`\\${letter}`, pattern);
    }
    if (/[a-zA-Z0-9]/.test(letter)) {
      return [`\\${letter}`, i + 2];
    }
    return [isInClass && letter === "-" ? "\\-" : quote(letter), i + 2];
  };

  // Translates the class that opens at pattern[i] = "["; returns [text, index after it, whether it needs sets].
  const translateClass = (pattern, i) => {
    const isNegated = pattern[i + 1] === "^";
    const operands = [];
    let operand = "";
    let usesSets = false;
    let at = i + (isNegated ? 2 : 1);
    while (pattern[at] !== "]" || (operand === "" && operands.length === 0)) {
      const character = pattern[at];
      if (character === undefined) {
        rt.fault(`Unclosed character class near index ${at - 1} in ${rt.stringify(pattern)}`);
      }
      if (character === "[") {
        const [inner, next] = translateClass(pattern, at);
        operand += inner;
        at = next;
        usesSets = true;
      } else if (character === "&" && pattern[at + 1] === "&") {
        operands.push(operand);
        operand = "";
        at += 2;
        usesSets = true;
      } else if (character === "\\") {
        const [text, next] = translateEscape(pattern, at, true);
        operand += text;
        at = next;
      } else {
        const isEdge = operand === "" || pattern[at + 1] === "]" || pattern.startsWith("&&", at + 1);
        operand += /[\](){}|/&]/.test(character) || (character === "-" && isEdge) ? `\\${character}` : character;
        at += 1;
      }
    }
    operands.push(operand);
    const inner = operands.length === 1 ? operands[0] : operands.map((text) => `[${text}]`).join("&&");
    return [`[${isNegated ? "^" : ""}${inner}]`, at + 1, usesSets];
  };

  const QUANTIFIER = /^(?:[*+?]|\{\d+(?:,\d*)?\})/;
  const translate = (pattern) => {
    let out = "";
    let needsSets = false;
    const leading = /^\(\?([ims]+)\)/.exec(pattern);
    let i = leading === null ? 0 : leading[0].length;
    while (i < pattern.length) {
      const character = pattern[i];
      if (character === "\\") {
        const [text, next] = translateEscape(pattern, i, false);
        out += text;
        i = next;
        continue;
      }
      if (character === "[") {
        const [text, next, usesSets] = translateClass(pattern, i);
        out += text;
        i = next;
        needsSets = needsSets || usesSets;
        continue;
      }
      if (pattern.startsWith("(?>", i)) {
        unsupported("an atomic group", pattern);
      }
      const quantifier = QUANTIFIER.exec(pattern.slice(i));
      if (quantifier !== null) {
        if (pattern[i + quantifier[0].length] === "+") {
          unsupported("a possessive quantifier", pattern);
        }
        out += quantifier[0];
        i += quantifier[0].length;
        continue;
      }
      out += "{}]/".includes(character) ? `\\${character}` : character;
      i += 1;
    }
    return [out, (needsSets ? "v" : "u") + (leading === null ? "" : leading[1])];
  };

  const compiled = new Map();
  const compile = (pattern, extraFlags) => {
    const key = `${extraFlags}/${pattern}`;
    let regex = compiled.get(key);
    if (regex === undefined) {
      const [source, flags] = translate(String(pattern));
      try {
        regex = new RegExp(
          extraFlags === "match" ? `^(?:${source})$` : source,
          extraFlags === "g" ? `${flags}g` : flags
        );
      } catch (error) {
        rt.fault(`Invalid pattern ${rt.stringify(pattern)}: ${error.message}`);
      }
      if (compiled.size >= 256) {
        compiled.clear();
      }
      compiled.set(key, regex);
    }
    regex.lastIndex = 0;
    return regex;
  };

  rt.util.matches = (pattern, value) => compile(pattern, "match").test(String(value));

  // String.replace and replaceAll take Java patterns and Java replacements ($1, ${name}, backslash escapes).
  const native = { replace: String.prototype.replace };
  const expand =
    (replacement) =>
    (...found) => {
      const named = typeof found[found.length - 1] === "object" ? found.pop() : {};
      return native.replace.call(replacement, /\\([\s\S])|\$(\d)|\$\{(\w+)\}/g, (_, escaped, digit, name) =>
        escaped !== undefined ? escaped : (digit !== undefined ? found[Number(digit)] : named[name]) ?? ""
      );
    };
  const replacer = (flag) =>
    function replace(pattern, replacement) {
      if (pattern instanceof RegExp) {
        return native.replace.call(this, pattern, replacement);
      }
      return native.replace.call(this, compile(pattern, flag), expand(String(replacement)));
    };
  rt.installText = () => {
    for (const [name, flag] of [
      ["replace", ""],
      ["replaceAll", "g"],
    ]) {
      Object.defineProperty(String.prototype, name, { value: replacer(flag) });
    }
  };
};
