// Read a device's telemetry by time, newest first; a page stays in one UTC day, because history is partitioned by day.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
const DAY_MS = 86400000;
const MAX_RANGE_DAYS = 400;
// Keys have 13 digits.
const MAX_MS = 9999999999999;
// The readings of one item lie at most this far apart (streams/history.py).
const SPAN_MS = 10000;
// Half a read unit, whatever fewer are asked for.
const MIN_ITEMS = 25;
const MAX_ITEMS = 8000;

export function request(ctx) {
  const { deviceId, from, to, limit, nextToken } = ctx.args;
  const tenantId = callerTenant(ctx, null);
  const fromMs = Math.min(MAX_MS, Math.max(0, util.time.parseISO8601ToEpochMilliSeconds(from)));
  const toMs = Math.min(MAX_MS, to ? util.time.parseISO8601ToEpochMilliSeconds(to) : util.time.nowEpochMilliSeconds());
  if (fromMs > toMs) {
    util.error(`from ${from} is after to`, 'BadRequest');
  }
  if (toMs - fromMs > MAX_RANGE_DAYS * DAY_MS) {
    // Every day is a page: a range of decades is a mistake that would be read one empty page after the other.
    util.error(`from ${from} is more than ${MAX_RANGE_DAYS} days before to`, 'BadRequest');
  }
  const cursor = nextToken ? readCursor(nextToken) : { day: Math.floor(toMs / DAY_MS), before: `${padded(toMs, 13)}#~`, upper: '' };
  const beforeMs = Number(cursor.before.slice(0, 13));
  if (beforeMs < fromMs) {
    util.error('nextToken is not one that listTelemetry gave for this from', 'BadRequest');
  }
  const size = pageSize(limit, 100, 500);
  ctx.stash.cursor = cursor;
  ctx.stash.size = size;
  ctx.stash.from = `${padded(fromMs, 13)}#`;
  ctx.stash.isLastDay = cursor.day <= Math.floor(fromMs / DAY_MS);
  const day = util.time.epochMilliSecondsToISO8601(cursor.day * DAY_MS).slice(0, 10);
  // An item lies at the key of its newest reading: one of after `to` may hold readings of before.
  const upper = cursor.upper ? cursor.upper : `TS#${padded(Math.min(MAX_MS, beforeMs + SPAN_MS), 13)}#~`;
  return ddb.query({
    query: { PK: { eq: `DEV#${deviceId}#${day}` }, SK: { between: [`TS#${ctx.stash.from}`, upper] } },
    filter: tenantId === null ? undefined : { tenantId: { eq: tenantId } },
    scanIndexForward: false,
    limit: Math.max(MIN_ITEMS, size, cursor.items ?? 0),
    nextToken: cursor.token,
  });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  const { items, nextToken, scannedCount } = ctx.result;
  const { cursor, size } = ctx.stash;
  // Behind another owner's items the day has no more: a token within it would say that they are there.
  const hasMore = nextToken && items.length && !(scannedCount > items.length);
  // What was not read yet is older than the last item's newest reading. So is what the items hold beyond that: it waits.
  const complete = hasMore ? orderOf(items[items.length - 1]) : '';
  const found = {};
  items.forEach((item) => {
    readingsOf(item).forEach((reading) => {
      const order = orderOf(reading);
      if (order >= ctx.stash.from && order < cursor.before && order >= complete) {
        found[order] = reading;
      }
    });
  });
  const orders = Object.keys(found).sort().reverse().slice(0, size);
  const shown = orders.map((order) => telemetryOf(items[0].deviceId, found[order]));
  return { items: shown, nextToken: nextCursor(ctx, orders, hasMore) };
}

// The next page begins at the first item that holds a reading this one did not show.
function nextCursor(ctx, orders, hasMore) {
  const { items, nextToken } = ctx.result;
  const { cursor, from, isLastDay } = ctx.stash;
  const before = orders.length ? orders[orders.length - 1] : cursor.before;
  const open = items.filter((item) => readingsOf(item).some((each) => orderOf(each) >= from && orderOf(each) < before));
  if (open.length) {
    const upper = open[0].SK;
    const count = upper === cursor.upper ? itemsNeeded(ctx, orders) : 0;
    if (count > MAX_ITEMS) {
      util.error(`more than ${MAX_ITEMS} messages came late into ${SPAN_MS} ms before ${before}: ask for less of that time`, 'TooDense');
    }
    return `${cursor.day}.${before}.${upper}.${count}.`;
  }
  if (hasMore) {
    return `${cursor.day}.${before}.${cursor.upper}.0.${nextToken}`;
  }
  return isLastDay ? null : `${cursor.day - 1}.${before}..0.`;
}

// Messages that came late lie between the readings of one item, and were shown already: to see behind them takes more of them.
function itemsNeeded(ctx, orders) {
  const read = Math.max(MIN_ITEMS, ctx.stash.size, ctx.stash.cursor.items ?? 0);
  return orders.length ? read : 4 * read;
}

// A message alone in its item, or several that ingestion put into one (streams/history.py).
function readingsOf(item) {
  return item.pack ? item.pack.map((row) => ({ ts: row.t, seq: row.s, readings: row.r })) : [item];
}

function telemetryOf(deviceId, { ts, seq, readings }) {
  return { deviceId, eventId: `${deviceId}#${ts}#${seq}`, time: util.time.epochMilliSecondsToISO8601(ts), seq, readings };
}

// Text order is the order of devices: keys are padded, and '~' is after every digit.
function orderOf({ ts, seq }) {
  return `${padded(ts, 13)}#${padded(seq, 16)}`;
}

function padded(number, digits) {
  const text = `0000000000000000${number}`;
  return text.slice(text.length - digits);
}

function readCursor(nextToken) {
  if (!util.matches('^[0-9]{1,6}[.][0-9]{13}#([0-9]{16}|~)[.](TS#[0-9a-f#~]{1,80})?[.][0-9]{1,4}[.][^ ]*$', nextToken)) {
    util.error('nextToken is not one that listTelemetry gave', 'BadRequest');
  }
  const parts = nextToken.split('.');
  const [day, before, upper, items] = parts;
  const token = parts.slice(4).join('.');
  return { day: Number(day), before, upper, items: Math.min(MAX_ITEMS, Number(items)), token: token ? token : undefined };
}

// The tenant a caller belongs to, by what AppSync verified: an API key is the demo viewer, a person has a claim, a partner
// what the authorizer found, a service names it.
function callerTenant(ctx, named) {
  if (!ctx.identity) {
    return 'demo';
  }
  if (ctx.identity.claims) {
    const tenantId = ctx.identity.claims['custom:tenantId'];
    if (!tenantId) {
      util.unauthorized();
    }
    return tenantId;
  }
  if (ctx.identity.resolverContext) {
    return ctx.identity.resolverContext.tenantId ?? util.unauthorized();
  }
  if (!ctx.identity.accountId) {
    util.unauthorized();
  }
  return named;
}

function pageSize(limit, standard, maximum) {
  const size = limit ?? standard;
  if (size < 1 || size > maximum) {
    util.error(`limit is ${size}, expected 1 to ${maximum}`, 'BadRequest');
  }
  return size;
}
