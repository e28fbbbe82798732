// The calendar and time zones under util.time.
(rt) => {
  "use strict";
  const floorDiv = (value, by) => Math.floor(value / by);
  const floorMod = (value, by) => value - by * Math.floor(value / by);

  // ---- calendar: proleptic Gregorian, days since 1970-01-01 ----
  const daysOf = (year, month, day) => {
    const shifted = month <= 2 ? year - 1 : year;
    const era = floorDiv(shifted, 400);
    const yearOfEra = shifted - era * 400;
    const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
    return era * 146097 + yearOfEra * 365 + floorDiv(yearOfEra, 4) - floorDiv(yearOfEra, 100) + dayOfYear - 719468;
  };
  const dateOf = (days) => {
    const shifted = days + 719468;
    const era = floorDiv(shifted, 146097);
    const dayOfEra = shifted - era * 146097;
    const yearOfEra = Math.floor(
      (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36524) - Math.floor(dayOfEra / 146096)) / 365
    );
    const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
    const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
    const month = shiftedMonth + (shiftedMonth < 10 ? 3 : -9);
    return {
      year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
      month,
      day: dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1,
    };
  };
  const monthLength = (year, month) => (month === 12 ? 31 : daysOf(year, month + 1, 1) - daysOf(year, month, 1));

  // ---- zones: fixed offsets here, regions by tables handed in from outside ----
  const parseOffset = (text) => {
    const [, sign, hours, minutes, seconds] = /^([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?$/.exec(text) ?? [];
    if (sign === undefined) {
      return null;
    }
    const total = Number(hours) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
    return sign === "-" ? -total : total;
  };
  const fixedZone = (id, offset) => ({ id, at: [], offsets: [offset], names: [id] });
  const zoneOf = (id) => {
    const name = String(id);
    if (name === "Z" || name === "UTC" || name === "GMT" || name === "UT") {
      return fixedZone(name, 0);
    }
    const offset = parseOffset(name.replace(/^(?:UTC|GMT|UT)(?=[+-])/, ""));
    if (offset !== null) {
      return fixedZone(name, offset);
    }
    const table = rt.zones.get(name);
    if (table === undefined) {
      throw new rt.ZoneNeeded(name);
    }
    return table === null ? rt.fault(`Unknown time-zone ID: ${name}`) : table;
  };
  const periodAt = (zone, seconds) => {
    let low = 0;
    let high = zone.at.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (zone.at[middle] <= seconds) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  // In an overlap the earlier instant counts, in a gap the time moves forward by it (ZonedDateTime.ofLocal).
  const instantOf = (localMs, zone) => {
    const seconds = floorDiv(localMs, 1000);
    const before = zone.offsets[periodAt(zone, seconds - 86400)];
    const after = zone.offsets[periodAt(zone, seconds + 86400)];
    if (zone.offsets[periodAt(zone, seconds - before)] === before || before === after) {
      return localMs - before * 1000;
    }
    const candidate = seconds - after;
    return localMs - (zone.offsets[periodAt(zone, candidate)] === after ? after : before) * 1000;
  };

  rt.calendar = { floorDiv, floorMod, daysOf, dateOf, monthLength, parseOffset, zoneOf, periodAt, instantOf };
};
