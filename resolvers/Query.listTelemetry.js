// Read a device's telemetry by time, newest first; a page stays in one UTC day, because history is partitioned by day.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
const DAY_MS = 86400000;
const MAX_RANGE_DAYS = 400;

export function request(ctx) {
  const { deviceId, from, to, limit, nextToken } = ctx.args;
  const tenantId = callerTenant(ctx, null);
  const fromMs = Math.max(0, util.time.parseISO8601ToEpochMilliSeconds(from));
  const toMs = to ? util.time.parseISO8601ToEpochMilliSeconds(to) : util.time.nowEpochMilliSeconds();
  if (fromMs > toMs) {
    util.error(`from ${from} is after to`, 'BadRequest');
  }
  if (toMs - fromMs > MAX_RANGE_DAYS * DAY_MS) {
    // Every day is a page: a range of decades is a mistake that would be read one empty page after the other.
    util.error(`from ${from} is more than ${MAX_RANGE_DAYS} days before to`, 'BadRequest');
  }
  const cursor = nextToken ? readCursor(nextToken) : { day: Math.floor(toMs / DAY_MS), to: toMs };
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
  const { items, nextToken } = ctx.result;
  const { day, to, isLastDay } = ctx.stash;
  let cursor = null;
  if (nextToken) {
    cursor = { day, to, token: nextToken };
  } else if (!isLastDay) {
    cursor = { day: day - 1, to };
  }
  return {
    items: items.map((item) => ({
      deviceId: item.deviceId,
      eventId: `${item.deviceId}#${item.ts}#${item.seq}`,
      time: util.time.epochMilliSecondsToISO8601(item.ts),
      seq: item.seq,
      readings: item.readings,
    })),
    nextToken: cursor ? util.base64Encode(JSON.stringify(cursor)) : null,
  };
}

// Keys are padded, so that their text order is time order; '~' is after every digit.
function sortKey(epochMs, end) {
  const digits = `000000000000${epochMs}`;
  return `TS#${digits.slice(digits.length - 13)}${end}`;
}

function readCursor(nextToken) {
  const cursor = JSON.parse(util.base64Decode(nextToken));
  if (!cursor || !cursor.to) {
    util.error('nextToken is not one that listTelemetry gave', 'BadRequest');
  }
  return cursor;
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
