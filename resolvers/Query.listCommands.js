// List the commands sent to one device, newest first.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
export function request(ctx) {
  const tenantId = callerTenant(ctx, null);
  return ddb.query({
    query: { PK: { eq: `DEV#${ctx.args.deviceId}` }, SK: { beginsWith: 'COMMAND#' } },
    // Items carry their owner: another tenant's device is an empty list.
    filter: tenantId === null ? undefined : { tenantId: { eq: tenantId } },
    scanIndexForward: false,
    limit: pageSize(ctx.args.limit, 25, 100),
    nextToken: ctx.args.nextToken,
  });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  const { items, nextToken, scannedCount } = ctx.result;
  // Behind another owner's items nothing is told: a token would say that they are there.
  return { items: items.map((item) => command(item)), nextToken: scannedCount > items.length ? null : nextToken };
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

function command(item) {
  return {
    ...item,
    // JSON that the table cannot hold as values is kept as text.
    parameters: item.parametersJson ? JSON.parse(item.parametersJson) : item.parameters,
    reply: item.replyJson ? JSON.parse(item.replyJson) : item.reply,
    sentAt: isoTime(item.sentAt),
    timeoutAt: isoTime(item.timeoutAt),
    closedAt: isoTime(item.closedAt),
  };
}

function isoTime(epochMs) {
  return epochMs === undefined || epochMs === null ? null : util.time.epochMilliSecondsToISO8601(epochMs);
}
