// Read a device's telemetry by time, newest first; a page stays in one UTC day, because history is partitioned by day.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
const DAY_MS = 86400000;
const MAX_RANGE_DAYS = 400;
// Keys have 13 digits.
const MAX_MS = 9999999999999;

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
  const cursor = nextToken ? readCursor(nextToken) : { day: Math.floor(toMs / DAY_MS), to: toMs };
  if (cursor.to < fromMs) {
    util.error('nextToken is not one that listTelemetry gave for this from', 'BadRequest');
  }
  ctx.stash.day = cursor.day;
  ctx.stash.to = cursor.to;
  ctx.stash.isLastDay = cursor.day <= Math.floor(fromMs / DAY_MS);
  const day = util.time.epochMilliSecondsToISO8601(cursor.day * DAY_MS).slice(0, 10);
  return ddb.query({
    query: {
      PK: { eq: `DEV#${deviceId}#${day}` },
      SK: { between: [sortKey(fromMs, '#'), sortKey(cursor.to, '#~')] },
    },
    filter: tenantId === null ? undefined : { tenantId: { eq: tenantId } },
    scanIndexForward: false,
    limit: pageSize(limit, 100, 500),
    nextToken: cursor.token,
  });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  const { items, nextToken, scannedCount } = ctx.result;
  const { day, to, isLastDay } = ctx.stash;
  let cursor = null;
  // Behind another owner's items the day has no more: a token within it would say that they are there.
  if (nextToken && !(scannedCount > items.length)) {
    cursor = `${day}.${to}.${nextToken}`;
  } else if (!isLastDay) {
    cursor = `${day - 1}.${to}.`;
  }
  return {
    items: items.map((item) => ({
      deviceId: item.deviceId,
      eventId: `${item.deviceId}#${item.ts}#${item.seq}`,
      time: util.time.epochMilliSecondsToISO8601(item.ts),
      seq: item.seq,
      readings: item.readings,
    })),
    nextToken: cursor,
  };
}

// Keys are padded, so that their text order is time order; '~' is after every digit.
function sortKey(epochMs, end) {
  const digits = `000000000000${epochMs}`;
  return `TS#${digits.slice(digits.length - 13)}${end}`;
}

function readCursor(nextToken) {
  if (!util.matches('^[0-9]{1,6}[.][0-9]{1,13}[.][^ ]*$', nextToken)) {
    util.error('nextToken is not one that listTelemetry gave', 'BadRequest');
  }
  const parts = nextToken.split('.');
  const [day, to] = parts;
  const token = parts.slice(2).join('.');
  return { day: Number(day), to: Number(to), token: token ? token : undefined };
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
