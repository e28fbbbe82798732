// List what needs somebody's attention: the sparse index holds open alerts alone.
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
export function request(ctx) {
  const tenantId = callerTenant(ctx, ctx.args.tenantId);
  if (!tenantId) {
    util.error('tenantId is required: a service belongs to no tenant', 'BadRequest');
  }
  return ddb.query({
    query: { GSI2PK: { eq: `TENANT#${tenantId}#OPEN` } },
    index: 'GSI2',
    scanIndexForward: false,
    limit: pageSize(ctx.args.limit, 25, 100),
    nextToken: ctx.args.nextToken,
  });
}

export function response(ctx) {
  if (ctx.error) {
    util.error(ctx.error.message, ctx.error.type);
  }
  return { items: ctx.result.items.map((item) => (alert(item))), nextToken: ctx.result.nextToken };
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

function alert(item) {
  return {
    ...item,
    openedAt: isoTime(item.openedAt),
    acknowledgedAt: isoTime(item.acknowledgedAt),
    resolvedAt: isoTime(item.resolvedAt),
  };
}

function isoTime(epochMs) {
  return epochMs === undefined || epochMs === null ? null : util.time.epochMilliSecondsToISO8601(epochMs);
}
