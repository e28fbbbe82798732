// util.time: instants, ISO 8601 and Java's DateTimeFormatter patterns, in any time zone.
(rt) => {
  "use strict";
  const DAY_MS = 86400000;
  const MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
  ];
  const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
  const QUARTERS = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
  const ZONE_NAMES = {
    UTC: "Coordinated Universal Time",
    GMT: "Greenwich Mean Time",
    BST: "British Summer Time",
    WET: "Western European Standard Time",
    WEST: "Western European Summer Time",
    CET: "Central European Standard Time",
    CEST: "Central European Summer Time",
    EET: "Eastern European Standard Time",
    EEST: "Eastern European Summer Time",
    EST: "Eastern Standard Time",
    EDT: "Eastern Daylight Time",
    CST: "Central Standard Time",
    CDT: "Central Daylight Time",
    MST: "Mountain Standard Time",
    MDT: "Mountain Daylight Time",
    PST: "Pacific Standard Time",
    PDT: "Pacific Daylight Time",
    JST: "Japan Standard Time",
    IST: "India Standard Time",
    AEST: "Australian Eastern Standard Time",
    AEDT: "Australian Eastern Daylight Time",
    AWST: "Australian Western Standard Time",
    NZST: "New Zealand Standard Time",
    NZDT: "New Zealand Daylight Time",
  };
  const { floorDiv, floorMod, daysOf, dateOf, monthLength, parseOffset, zoneOf, periodAt, instantOf } = rt.calendar;
  const pad = (value, width) => String(Math.abs(value)).padStart(width, "0");

  // ---- patterns: a list of literals (strings), fields and optional sections ----
  const patterns = new Map();
  const parsePattern = (text) => {
    const known = patterns.get(text);
    if (known !== undefined) {
      return known;
    }
    const stack = [[]];
    const put = (item) => stack[stack.length - 1].push(item);
    for (let i = 0; i < text.length; ) {
      const character = text[i];
      if (/[A-Za-z]/.test(character)) {
        let end = i;
        while (text[end] === character) {
          end += 1;
        }
        put({ letter: character, count: end - i });
        i = end;
        continue;
      }
      if (character === "'") {
        let literal = "";
        let end = i + 1;
        while (end < text.length && (text[end] !== "'" || text[end + 1] === "'")) {
          literal += text[end];
          end += text[end] === "'" ? 2 : 1;
        }
        if (end >= text.length) {
          rt.fault(`Pattern ends with an incomplete string literal: ${text}`);
        }
        put(end === i + 1 ? "'" : literal);
        i = end + 1;
        continue;
      }
      if (character === "[") {
        stack.push([]);
      } else if (character === "]") {
        if (stack.length < 2) {
          rt.fault(`Pattern invalid as it contains ] without previous [: ${text}`);
        }
        const items = stack.pop();
        put({ items });
      } else if ("{}#".includes(character)) {
        rt.fault(`Pattern includes reserved character: '${character}'`);
      } else {
        put(character);
      }
      i += 1;
    }
    while (stack.length > 1) {
      const items = stack.pop();
      put({ items });
    }
    if (patterns.size >= 256) {
      patterns.clear();
    }
    patterns.set(text, stack[0]);
    return stack[0];
  };
  const unknownLetter = ({ letter, count }) =>
    rt.fault(`Unknown or unsupported pattern letter: ${letter.repeat(count)}`);

  // ---- printing ----
  const offsetText = (offset, form, zero) => {
    if (offset === 0 && zero !== null) {
      return zero;
    }
    const seconds = Math.abs(offset);
    const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const colon = form === 3 || form === 5 ? ":" : "";
    const hasMinutes = form !== 1 || minutes !== 0;
    const tail = form >= 4 && rest !== 0 ? colon + pad(rest, 2) : "";
    return (offset < 0 ? "-" : "+") + pad(hours, 2) + (hasMinutes ? colon + pad(minutes, 2) : "") + tail;
  };
  const localizedOffset = (offset, isFull) => {
    if (offset === 0) {
      return "GMT";
    }
    const minutes = Math.floor(Math.abs(offset) / 60);
    const hours = isFull ? pad(Math.floor(minutes / 60), 2) : String(Math.floor(minutes / 60));
    return `GMT${offset < 0 ? "-" : "+"}${hours}${isFull || minutes % 60 !== 0 ? `:${pad(minutes % 60, 2)}` : ""}`;
  };
  // Weeks as in the United States: they begin on Sunday and the first one holds January 1st.
  const weekOf = (days, year) => {
    const sunday = (first) => first - floorMod(first + 4, 7);
    const start = sunday(daysOf(year, 1, 1));
    const next = sunday(daysOf(year + 1, 1, 1));
    return days >= next ? { year: year + 1, week: 1 } : { year, week: floorDiv(days - start, 7) + 1 };
  };
  const momentOf = (ms, zone) => {
    const period = periodAt(zone, floorDiv(ms, 1000));
    const offset = zone.offsets[period];
    const local = ms + offset * 1000;
    const days = floorDiv(local, DAY_MS);
    const { year, month, day } = dateOf(days);
    return { ms, zone, offset, zoneName: zone.names[period], days, year, month, day, dayMs: floorMod(local, DAY_MS) };
  };
  const numeric = (value, count) => (value < 0 ? "-" : "") + pad(value, count);
  const yearText = (year, count) =>
    count === 2 ? pad(floorMod(year, 100), 2) : (count >= 4 && year >= 10 ** count ? "+" : "") + numeric(year, count);
  const named = (names, index, count, shortLength) =>
    count === 5 ? names[index][0] : count === 4 ? names[index] : names[index].slice(0, shortLength);
  const weekday = (moment) => floorMod(moment.days + 3, 7);
  const sundayBased = (moment) => floorMod(weekday(moment) + 1, 7) + 1;
  const hourOf = (moment) => Math.floor(moment.dayMs / 3600000);
  const quarter = (moment, count) => {
    const index = Math.floor((moment.month - 1) / 3);
    return count <= 2
      ? pad(index + 1, count)
      : count === 3
      ? `Q${index + 1}`
      : count === 4
      ? QUARTERS[index]
      : String(index + 1);
  };
  const PRINTERS = {
    G: (m, n) =>
      m.year > 0 ? (n === 4 ? "Anno Domini" : n === 5 ? "A" : "AD") : n === 4 ? "Before Christ" : n === 5 ? "B" : "BC",
    u: (m, n) => yearText(m.year, n),
    y: (m, n) => yearText(m.year > 0 ? m.year : 1 - m.year, n),
    Y: (m, n) => yearText(weekOf(m.days, m.year).year, n),
    D: (m, n) => pad(m.days - daysOf(m.year, 1, 1) + 1, n),
    M: (m, n) => (n <= 2 ? pad(m.month, n) : named(MONTHS, m.month - 1, n, 3)),
    d: (m, n) => pad(m.day, n),
    Q: quarter,
    q: quarter,
    w: (m, n) => pad(weekOf(m.days, m.year).week, n),
    W: (m, n) => pad(floorDiv(m.day + floorMod(daysOf(m.year, m.month, 1) + 4, 7) - 1, 7) + 1, n),
    E: (m, n) => named(DAYS, weekday(m), n, 3),
    e: (m, n) => (n <= 2 ? pad(sundayBased(m), n) : named(DAYS, weekday(m), n, 3)),
    F: (m, n) => pad(Math.floor((m.day - 1) / 7) + 1, n),
    a: (m) => (hourOf(m) < 12 ? "AM" : "PM"),
    h: (m, n) => pad(floorMod(hourOf(m) + 11, 12) + 1, n),
    K: (m, n) => pad(hourOf(m) % 12, n),
    k: (m, n) => pad(floorMod(hourOf(m) + 23, 24) + 1, n),
    H: (m, n) => pad(hourOf(m), n),
    m: (m, n) => pad(Math.floor(m.dayMs / 60000) % 60, n),
    s: (m, n) => pad(Math.floor(m.dayMs / 1000) % 60, n),
    S: (m, n) => `${pad(m.dayMs % 1000, 3)}000000`.slice(0, n),
    A: (m, n) => pad(m.dayMs, n),
    n: (m, n) => pad((m.dayMs % 1000) * 1000000, n),
    N: (m, n) => pad(m.dayMs * 1000000, n),
    V: (m, n) => (n === 2 ? m.zone.id : rt.fault(`Pattern letter count must be 2: ${"V".repeat(n)}`)),
    z: (m, n) =>
      n < 4 ? m.zoneName : ZONE_NAMES[m.zoneName] ?? rt.fault(`No long name is known for the zone ${m.zone.id}`),
    O: (m, n) => localizedOffset(m.offset, n === 4),
    X: (m, n) => offsetText(m.offset, n, "Z"),
    x: (m, n) => offsetText(m.offset, n, null),
    Z: (m, n) =>
      n < 4 ? offsetText(m.offset, 2, null) : n === 4 ? localizedOffset(m.offset, true) : offsetText(m.offset, 5, "Z"),
  };
  PRINTERS.L = PRINTERS.M;
  PRINTERS.c = PRINTERS.e;
  const print = (items, moment) => {
    let text = "";
    for (const item of items) {
      if (typeof item === "string") {
        text += item;
      } else if (item.items !== undefined) {
        text += print(item.items, moment);
      } else {
        text += PRINTERS[item.letter] === undefined ? unknownLetter(item) : PRINTERS[item.letter](moment, item.count);
      }
    }
    return text;
  };
  // A long of Java, which is what the service takes.
  const toMilliseconds = (value) => {
    const ms = value === null || typeof value === "boolean" ? NaN : Math.trunc(Number(value));
    return Math.abs(ms) < 2 ** 63
      ? ms
      : rt.fault(`Expected a number of milliseconds, not ${rt.stringify(value) ?? "undefined"}`);
  };
  const format = (ms, pattern, zone) =>
    print(parsePattern(String(pattern)), momentOf(toMilliseconds(ms), zoneOf(zone ?? "UTC")));
  const toIso = (ms) => format(ms, "uuuu-MM-dd'T'HH:mm:ss.SSS'Z'", "UTC");

  // ---- parsing ----
  class Mismatch {
    constructor(index) {
      this.index = index;
    }
  }
  const NUMERIC = "uyYDdQqwWFhKkHmsAnN";
  const isNumeric = (item) =>
    typeof item === "object" &&
    item.items === undefined &&
    (NUMERIC.includes(item.letter) || ("MLec".includes(item.letter) && item.count <= 2) || item.letter === "S");
  const isFixed = (item) =>
    isNumeric(item) && (item.letter === "S" || item.count === 2 || (item.count > 1 && !"uyY".includes(item.letter)));
  const readNumber = (input, items, index) => {
    const item = items[index];
    let reserved = 0;
    for (let next = index + 1; next < items.length && isFixed(items[next]); next++) {
      reserved += items[next].count;
    }
    const [digits] = /^\d*/.exec(input.text.slice(input.at));
    const sign = /^[+-]/.test(input.text.slice(input.at)) && "uyY".includes(item.letter) ? input.text[input.at] : "";
    const available = sign === "" ? digits : /^\d*/.exec(input.text.slice(input.at + 1))[0];
    const width = isFixed(item) ? item.count : Math.max(available.length - reserved, 0);
    if (available.length < width || width < item.count || width === 0) {
      throw new Mismatch(input.at);
    }
    input.at += sign.length + width;
    const value = Number(available.slice(0, width));
    return sign === "-" ? -value : value;
  };
  const readText = (input, names) => {
    const index = names.findIndex((name) => input.text.startsWith(name, input.at));
    if (index < 0) {
      throw new Mismatch(input.at);
    }
    input.at += names[index].length;
    return index;
  };
  const readMatch = (input, expression) => {
    const found = expression.exec(input.text.slice(input.at));
    if (found === null) {
      throw new Mismatch(input.at);
    }
    input.at += found[0].length;
    return found[0];
  };
  const readZone = (input, { letter, count }, fields) => {
    if (letter === "V" || letter === "z") {
      fields.zone = zoneOf(readMatch(input, /^[A-Za-z][A-Za-z0-9_/+~-]*(?::\d{2})?|^[+-]\d{2}(?::?\d{2})?/));
    } else if (letter === "O" || (letter === "Z" && count === 4)) {
      const text = readMatch(input, /^GMT(?:[+-]\d{1,2}(?::\d{2})?)?/);
      fields.offset = text === "GMT" ? 0 : parseOffset(text.slice(3));
    } else {
      const allowsZ = letter === "X" || count === 5;
      const hasColon = count === 5 || (letter !== "Z" && count === 3);
      const shape =
        letter !== "Z" && count === 1
          ? /^[+-]\d{2}(?:\d{2})?/
          : hasColon
          ? /^[+-]\d{2}:\d{2}(?::\d{2})?/
          : /^[+-]\d{4}(?:\d{2})?/;
      const text = allowsZ && input.text[input.at] === "Z" ? readMatch(input, /^Z/) : readMatch(input, shape);
      fields.offset = text === "Z" ? 0 : parseOffset(text);
    }
  };
  const readField = (input, items, index, fields) => {
    const item = items[index];
    const { letter, count } = item;
    if (isNumeric(item)) {
      const value = readNumber(input, items, index);
      if (letter === "S") {
        fields.fractionMs = Math.floor(value / 10 ** (count - 3));
      } else {
        fields["uyY".includes(letter) && count === 2 ? "yy" : letter === "L" ? "M" : letter === "c" ? "e" : letter] =
          value;
      }
    } else if (letter === "M" || letter === "L") {
      fields.M = readText(input, count === 3 ? MONTHS.map((name) => name.slice(0, 3)) : MONTHS) + 1;
    } else if (letter === "E" || letter === "e" || letter === "c") {
      fields.weekday = readText(input, count === 4 ? DAYS : DAYS.map((name) => name.slice(0, 3)));
    } else if (letter === "a") {
      fields.a = readText(input, ["AM", "PM"]);
    } else if (letter === "G") {
      fields.G = readText(input, count === 4 ? ["Before Christ", "Anno Domini"] : ["BC", "AD"]);
    } else if ("VzOXxZ".includes(letter)) {
      readZone(input, item, fields);
    } else {
      unknownLetter(item);
    }
  };
  const read = (input, items, fields) => {
    for (let index = 0; index < items.length; index++) {
      const item = items[index];
      if (typeof item === "string") {
        if (!input.text.startsWith(item, input.at)) {
          throw new Mismatch(input.at);
        }
        input.at += item.length;
      } else if (item.items !== undefined) {
        const [at, kept] = [input.at, { ...fields }];
        try {
          read(input, item.items, fields);
        } catch (error) {
          if (!(error instanceof Mismatch)) {
            throw error;
          }
          input.at = at;
          for (const key of Object.keys(fields)) {
            delete fields[key];
          }
          Object.assign(fields, kept);
        }
      } else {
        readField(input, items, index, fields);
      }
    }
  };
  const limited = (value, low, high, name) =>
    value >= low && value <= high
      ? value
      : rt.fault(`Invalid value for ${name} (valid values ${low} - ${high}): ${value}`);
  const resolveDays = (fields) => {
    const eraYear = fields.y !== undefined && fields.G === 0 ? 1 - fields.y : fields.y;
    const year = fields.u ?? eraYear ?? (fields.yy === undefined ? fields.Y : 2000 + fields.yy);
    if (year === undefined) {
      return null;
    }
    if (fields.M !== undefined && fields.d !== undefined) {
      const month = limited(fields.M, 1, 12, "MonthOfYear");
      return daysOf(year, month, Math.min(limited(fields.d, 1, 31, "DayOfMonth"), monthLength(year, month)));
    }
    if (fields.D !== undefined) {
      return daysOf(year, 1, 1) + limited(fields.D, 1, 366, "DayOfYear") - 1;
    }
    const day = fields.weekday === undefined ? fields.e : floorMod(fields.weekday + 1, 7) + 1;
    if (fields.w !== undefined && day !== undefined) {
      const first = daysOf(year, 1, 1);
      return first - floorMod(first + 4, 7) + (limited(fields.w, 1, 53, "WeekOfWeekBasedYear") - 1) * 7 + day - 1;
    }
    return null;
  };
  const resolveTime = (fields) => {
    if (fields.A !== undefined || fields.N !== undefined) {
      return fields.A ?? Math.floor(fields.N / 1000000);
    }
    let hour = fields.H;
    if (fields.k !== undefined) {
      hour = limited(fields.k, 1, 24, "ClockHourOfDay") % 24;
    }
    const half = fields.h === undefined ? fields.K : limited(fields.h, 1, 12, "ClockHourOfAmPm") % 12;
    if (hour === undefined && half !== undefined && fields.a !== undefined) {
      hour = half + 12 * fields.a;
    }
    if (hour === undefined) {
      return null;
    }
    const fraction = fields.fractionMs ?? Math.floor((fields.n ?? 0) / 1000000);
    return (
      limited(hour, 0, 23, "HourOfDay") * 3600000 +
      limited(fields.m ?? 0, 0, 59, "MinuteOfHour") * 60000 +
      limited(fields.s ?? 0, 0, 59, "SecondOfMinute") * 1000 +
      fraction
    );
  };
  const parseFormatted = (timestamp, pattern, timezone) => {
    const input = { text: String(timestamp), at: 0 };
    const fields = {};
    try {
      read(input, parsePattern(String(pattern)), fields);
      if (input.at < input.text.length) {
        throw new Mismatch(input.at);
      }
    } catch (error) {
      if (!(error instanceof Mismatch)) {
        throw error;
      }
      rt.fault(`Text '${input.text}' could not be parsed at index ${error.index}`);
    }
    const days = resolveDays(fields);
    const timeMs = resolveTime(fields);
    if (days === null || timeMs === null) {
      rt.fault(
        `Text '${input.text}' could not be parsed: the pattern ${pattern} gives no ${
          days === null ? "date" : "time of day"
        }`
      );
    }
    const localMs = days * DAY_MS + timeMs;
    if (fields.offset !== undefined) {
      return localMs - fields.offset * 1000;
    }
    return instantOf(localMs, fields.zone ?? zoneOf(timezone ?? "UTC"));
  };
  const ISO_DATE = "([+-]?\\d{4,9}-\\d{2}-\\d{2})";
  const ISO_CLOCK = "(\\d{2}:\\d{2}(?::\\d{2})?)(?:[.,](\\d{1,9}))?";
  const ISO_OFFSET = "(Z|z|[+-]\\d{2}(?::?\\d{2})?(?::\\d{2})?)";
  const ISO = new RegExp(`^${ISO_DATE}[Tt]${ISO_CLOCK}${ISO_OFFSET}$`);
  const parseIso = (timestamp) => {
    const text = String(timestamp);
    const [, date, clock, fraction, zone] =
      ISO.exec(text) ?? rt.fault(`Text '${text}' could not be parsed as an ISO 8601 timestamp`);
    const [, year, month, day] = /^([+-]?\d+)-(\d{2})-(\d{2})$/.exec(date);
    const [hour, minute, second] = clock.split(":").map(Number);
    const fields = { u: Number(year), M: Number(month), d: Number(day), H: hour, m: minute, s: second ?? 0 };
    fields.fractionMs = Number(`${fraction ?? ""}000`.slice(0, 3));
    // Java's own ISO formatters are strict, those made of a pattern take February 30 for its last day.
    if (fields.M >= 1 && fields.M <= 12 && fields.d > monthLength(fields.u, fields.M)) {
      rt.fault(`Text '${text}' could not be parsed: ${date} is no date`);
    }
    const offset = zone === "Z" || zone === "z" ? 0 : parseOffset(zone);
    return resolveDays(fields) * DAY_MS + resolveTime(fields) - offset * 1000;
  };

  rt.util.time = {
    nowISO8601: () => toIso(rt.now),
    nowEpochSeconds: () => floorDiv(rt.now, 1000),
    nowEpochMilliSeconds: () => Math.floor(rt.now),
    nowFormatted: (pattern, timezone) => format(Math.floor(rt.now), pattern, timezone),
    parseFormattedToEpochMilliSeconds: parseFormatted,
    parseISO8601ToEpochMilliSeconds: parseIso,
    epochMilliSecondsToSeconds: (ms) => Math.trunc(toMilliseconds(ms) / 1000),
    epochMilliSecondsToISO8601: toIso,
    epochMilliSecondsToFormatted: format,
  };
};
